"""The SQL statements, the same text for both databases, with parameters $1, $2, ... Tables: `serving/stores/tables`.

`{rows}` in a statement is replaced by many rows of parameters. Both databases name the columns of `VALUES` column1,
column2, ... One statement with a thousand rows is cheaper than a thousand statements.
"""

from recsys.schemas.store_schema import EVENT_COLUMNS, ITEM_COLUMNS, select_from

# The owner: 'u:' and the user_id, also of the user into whom a guest was merged; or 'a:' and the anonymous_id.
_WHO = """coalesce('u:' || CAST({user} AS TEXT), (SELECT 'u:' || user_id FROM identities
    WHERE anonymous_id = CAST({guest} AS TEXT)), 'a:' || CAST({guest} AS TEXT))"""
PERSON = _WHO.format(user="column2", guest="column3")
# A late row of a forgotten user, from before the forgetting, is not stored.
_REMEMBERED = """FROM (VALUES {{rows}}) AS sent WHERE NOT EXISTS (SELECT 1 FROM forgotten
    WHERE fingerprint = CAST({who} AS TEXT) AND forgotten >= {when})"""
EVENT = ", ".join(EVENT_COLUMNS)

ADD_EVENTS = f"""INSERT INTO events ({EVENT}, person)
    SELECT column1, column2, column3, column4, column5, CAST(column6 AS DOUBLE PRECISION), column7, column8, column9,
    {PERSON} {_REMEMBERED.format(who="column10", when="column7")}
    ON CONFLICT (event_id) DO NOTHING RETURNING event_id, person"""
FIND_EVENTS = f"SELECT {EVENT} FROM events WHERE event_id IN (VALUES {{rows}})"
NOTE_ITEMS = """INSERT INTO person_items (person, item_id, event, counted)
    SELECT column1, column2, column3, column4 FROM (VALUES {rows}) AS sent WHERE TRUE
    ON CONFLICT (person, item_id, event) DO NOTHING"""
ADD_EXPOSURES = f"""INSERT INTO exposures
    (request_id, user_id, anonymous_id, unit, timestamp, experiment, variant, bundle_id, surface, segment, propensity,
    items, context, replay, person)
    SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11,
    column12, column13, column14, {PERSON} {_REMEMBERED.format(who="column15", when="column5")}
    ON CONFLICT (request_id, unit) DO NOTHING"""
ADD_LETTERS = f"""INSERT INTO dead_letters (letter_id, user_id, anonymous_id, received, place, reason, body)
    SELECT column1, column2, column3, column4, column5, column6, column7
    {_REMEMBERED.format(who="column8", when="column4")}"""
PUT_ITEM = """INSERT INTO items (item_id, title, text, categories, price, available, first_seen, attributes, vector,
    version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT coalesce(max(version), 0) + 1 FROM items))
    ON CONFLICT (item_id) DO UPDATE SET version = excluded.version,
    title = coalesce(excluded.title, items.title), text = coalesce(excluded.text, items.text),
    categories = coalesce(excluded.categories, items.categories), price = coalesce(excluded.price, items.price),
    available = coalesce(excluded.available, items.available),
    first_seen = coalesce(excluded.first_seen, items.first_seen),
    attributes = coalesce(excluded.attributes, items.attributes), vector = coalesce(excluded.vector, items.vector)"""
KEEP_ITEM = f"""INSERT INTO item_versions (version, {", ".join(ITEM_COLUMNS)}, replaced)
    SELECT version, {", ".join(ITEM_COLUMNS)}, $2 FROM items WHERE item_id = $1
    ON CONFLICT (version) DO NOTHING"""
AUDIT = ("audit_id", "at", "key", "action", "what", "before", "after")
NOTE = f"INSERT INTO audit ({', '.join(AUDIT)}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
ITEM_NOW = f"{select_from('items', *ITEM_COLUMNS)} WHERE item_id = $1"
IDENTIFY = """INSERT INTO identities (anonymous_id, user_id, merged) VALUES ($1, $2, $3)
    ON CONFLICT (anonymous_id) DO UPDATE SET user_id = excluded.user_id, merged = excluded.merged"""
MOVE = "UPDATE {table} SET person = 'u:' || CAST($2 AS TEXT) WHERE person = 'a:' || CAST($1 AS TEXT) RETURNING 1"
MOVE_ITEMS = """INSERT INTO person_items (person, item_id, event, counted)
    SELECT 'u:' || CAST($2 AS TEXT), item_id, event, counted FROM person_items WHERE person = 'a:' || CAST($1 AS TEXT)
    ON CONFLICT (person, item_id, event) DO NOTHING"""
FORGET_ITEMS = "DELETE FROM person_items WHERE person = $1"
REBUILD_ITEMS = """INSERT INTO person_items (person, item_id, event, counted)
    SELECT person, item_id, event, max(timestamp) FROM events WHERE person = $1 GROUP BY person, item_id, event"""
WHOSE = "SELECT user_id FROM identities WHERE anonymous_id = $1"
NOTE_MERGE = """INSERT INTO merges (merge_id, merged, anonymous_id, user_id, before, sent_by)
    VALUES ($1, $2, $3, $4, $5, $6)"""
LAST_MERGE = """SELECT merge_id, user_id, before FROM merges WHERE anonymous_id = $1
    ORDER BY merged DESC, merge_id DESC LIMIT 1"""
DROP_MERGE = "DELETE FROM merges WHERE merge_id = $1"
DROP_IDENTITY = "DELETE FROM identities WHERE anonymous_id = $1"
# Move only the rows of the guest itself, without a user_id: $1 the guest, $2 the new owner, $3 the present one.
GIVE_BACK = """UPDATE {table} SET person = $2 WHERE person = $3 AND anonymous_id = $1 AND user_id IS NULL RETURNING 1"""
GUESTS = "SELECT anonymous_id FROM identities WHERE user_id = $1"
# Rows of the user or guest with this id, and the guest's own rows from before it was merged into another user.
THEIRS = """person IN ('u:' || CAST($1 AS TEXT), 'a:' || CAST($1 AS TEXT)) OR (anonymous_id = $1 AND user_id IS NULL
    AND person = (SELECT 'u:' || user_id FROM identities WHERE anonymous_id = $1))"""
FORGET = {
    "events": f"DELETE FROM events WHERE {THEIRS} RETURNING 1",
    "exposures": f"DELETE FROM exposures WHERE {THEIRS} RETURNING 1",
    "identities": "DELETE FROM identities WHERE user_id = $1 OR anonymous_id = $1 RETURNING 1",
}
FORGET_MERGES = "DELETE FROM merges WHERE user_id = $1 OR anonymous_id = $1"
FORGET_MERGES_FROM = "UPDATE merges SET before = NULL WHERE before = $1"
# The id may be anywhere in a refused body: $1 is the id in JSON, $2 the plain id, $3 the user_id to forget. On a shared
# device a body can have a guest's id ($2) beside the id of another user: such a row stays.
THEIR_LETTERS = """(CAST($2 AS TEXT) = CAST($3 AS TEXT) OR user_id IS NULL
    OR user_id = CAST($3 AS TEXT)) AND (user_id = CAST($2 AS TEXT) OR anonymous_id = CAST($2 AS TEXT)
    OR replace(body, CAST($1 AS TEXT), '') <> body)"""
FORGET_LETTERS = f"DELETE FROM dead_letters WHERE {THEIR_LETTERS} RETURNING 1"
REMEMBER_HASH = """INSERT INTO forgotten (fingerprint, forgotten, version)
    VALUES ($1, $2, (SELECT coalesce(max(version), 0) + 1 FROM forgotten))
    ON CONFLICT (fingerprint) DO UPDATE SET forgotten = excluded.forgotten, version = excluded.version"""

HISTORY = f"""SELECT {EVENT} FROM events WHERE person = {_WHO.format(user="$1", guest="$2")}
    ORDER BY timestamp DESC, event_id DESC LIMIT CAST($3 AS BIGINT)"""
SEEN = f"""SELECT item_id, event = 'dislike' FROM person_items WHERE person = {_WHO.format(user="$1", guest="$2")}
    LIMIT CAST($3 AS BIGINT)"""
ITEMS = f"{select_from('items', 'version', *ITEM_COLUMNS)} WHERE version > $1 ORDER BY version"
NEWEST = """SELECT event_id, person, item_id, event, timestamp, received FROM events
    WHERE received > $1 AND (received, event_id) < (CAST($2 AS DOUBLE PRECISION), CAST($3 AS TEXT))
    ORDER BY received DESC, event_id DESC LIMIT CAST($4 AS BIGINT)"""
FORGOTTEN = f"{select_from('forgotten', 'version', 'fingerprint')} WHERE version > $1 ORDER BY version"
# The configuration changes in force or scheduled, each with the time of the store's clock.
CHANNEL = """SELECT CAST(now AS DOUBLE PRECISION), kind, number, since FROM (SELECT {clock} AS now) AS clock
    LEFT JOIN channel AS c ON NOT EXISTS (SELECT 1 FROM channel AS newer
        WHERE newer.kind = c.kind AND newer.number > c.number AND newer.since <= clock.now)"""
CHANGE = "SELECT sha256, body FROM channel WHERE kind = $1 AND number = CAST($2 AS BIGINT)"
SALT = select_from("salt")
