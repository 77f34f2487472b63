"""The SQL, one text for both databases, with parameters $1, $2, ...; the tables: `serving/stores/migrations.py`."""

from recsys.store_schema import EVENT_COLUMNS, ITEM_COLUMNS, select_from

# Whose it is: 'u:' and the user_id, or 'a:' and the anonymous_id of a guest whom no merge has made a user.
_WHO = """coalesce('u:' || CAST({user} AS TEXT), (SELECT 'u:' || user_id FROM identities
    WHERE anonymous_id = CAST({guest} AS TEXT)), 'a:' || CAST({guest} AS TEXT))"""
PERSON = _WHO.format(user="$2", guest="$3")
# What a forgotten user did or saw before the forgetting, and what arrives only now, is not stored.
REMEMBERED = """WHERE NOT EXISTS (SELECT 1 FROM forgotten
    WHERE fingerprint IN (CAST({user} AS TEXT), CAST({guest} AS TEXT)) AND forgotten >= {when})"""

ADD_EVENT = f"""INSERT INTO events
    (event_id, user_id, anonymous_id, item_id, event, value, timestamp, request_id, received, person)
    SELECT $1, $2, $3, $4, $5, CAST($6 AS DOUBLE PRECISION), $7, $8, $9, {PERSON}
    {REMEMBERED.format(user="$10", guest="$11", when="$7")} ON CONFLICT (event_id) DO NOTHING RETURNING 1"""
COUNT = """INSERT INTO item_hours (hour, item_id, event, n) VALUES ($1, $2, $3, $4)
    ON CONFLICT (hour, item_id, event) DO UPDATE SET n = item_hours.n + excluded.n"""
ADD_EXPOSURE = f"""INSERT INTO exposures
    (request_id, user_id, anonymous_id, unit, timestamp, experiment, variant, bundle_id, surface, segment, propensity,
    items, context, person)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, {PERSON}
    {REMEMBERED.format(user="$14", guest="$15", when="$5")} ON CONFLICT (request_id, unit) DO NOTHING"""
ADD_LETTER = f"""INSERT INTO dead_letters (letter_id, user_id, anonymous_id, received, place, reason, body)
    SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), $6, $7 {REMEMBERED.format(user="$8", guest="$9", when="$4")}"""
PUT_ITEM = """INSERT INTO items (item_id, title, text, categories, price, available, first_seen, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT coalesce(max(version), 0) + 1 FROM items))
    ON CONFLICT (item_id) DO UPDATE SET version = excluded.version,
    title = coalesce(excluded.title, items.title), text = coalesce(excluded.text, items.text),
    categories = coalesce(excluded.categories, items.categories), price = coalesce(excluded.price, items.price),
    available = coalesce(excluded.available, items.available),
    first_seen = coalesce(excluded.first_seen, items.first_seen)"""
IDENTIFY = """INSERT INTO identities (anonymous_id, user_id, merged) VALUES ($1, $2, $3)
    ON CONFLICT (anonymous_id) DO UPDATE SET user_id = excluded.user_id, merged = excluded.merged"""
MOVE = "UPDATE {table} SET person = 'u:' || CAST($2 AS TEXT) WHERE person = 'a:' || CAST($1 AS TEXT) RETURNING 1"
GUESTS = "SELECT anonymous_id FROM identities WHERE user_id = $1"
FORGET = {
    "events": "DELETE FROM events WHERE person = 'u:' || CAST($1 AS TEXT) RETURNING 1",
    "exposures": "DELETE FROM exposures WHERE person = 'u:' || CAST($1 AS TEXT) RETURNING 1",
    "identities": "DELETE FROM identities WHERE user_id = $1 RETURNING 1",
}
# An id may stand anywhere in what was refused: $1 as it is written in JSON.
FORGET_LETTERS = """DELETE FROM dead_letters WHERE user_id = CAST($2 AS TEXT) OR anonymous_id = CAST($2 AS TEXT)
    OR replace(body, CAST($1 AS TEXT), '') <> body RETURNING 1"""
REMEMBER_HASH = """INSERT INTO forgotten (fingerprint, forgotten, version)
    VALUES ($1, $2, (SELECT coalesce(max(version), 0) + 1 FROM forgotten))
    ON CONFLICT (fingerprint) DO UPDATE SET forgotten = excluded.forgotten, version = excluded.version"""

EVENT = ", ".join(EVENT_COLUMNS)
HISTORY = f"""SELECT {EVENT} FROM events WHERE person = {_WHO.format(user="$1", guest="$2")}
    ORDER BY timestamp DESC, event_id DESC LIMIT CAST($3 AS BIGINT)"""
ITEMS = f"{select_from('items', 'version', *ITEM_COLUMNS)} WHERE version > $1 ORDER BY version"
RECENT = "SELECT item_id, event, CAST(sum(n) AS BIGINT) FROM item_hours WHERE hour >= $1 GROUP BY item_id, event"
FORGOTTEN = f"{select_from('forgotten', 'version', 'fingerprint')} WHERE version > $1 ORDER BY version"
SALT = select_from("salt")
