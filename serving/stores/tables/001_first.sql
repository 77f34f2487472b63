CREATE TABLE events (
    event_id TEXT PRIMARY KEY, person TEXT NOT NULL, user_id TEXT, anonymous_id TEXT, item_id TEXT NOT NULL,
    event TEXT NOT NULL, value DOUBLE PRECISION, timestamp DOUBLE PRECISION NOT NULL, request_id TEXT,
    received DOUBLE PRECISION NOT NULL);
CREATE INDEX events_of_person ON events (person, timestamp);
CREATE TABLE item_hours (
    hour BIGINT NOT NULL, item_id TEXT NOT NULL, event TEXT NOT NULL, n BIGINT NOT NULL,
    PRIMARY KEY (hour, item_id, event));
CREATE TABLE exposures (
    request_id TEXT NOT NULL, unit TEXT NOT NULL, timestamp DOUBLE PRECISION NOT NULL, person TEXT,
    user_id TEXT, anonymous_id TEXT, experiment TEXT, variant TEXT NOT NULL, bundle_id TEXT NOT NULL,
    surface TEXT, segment TEXT, propensity DOUBLE PRECISION NOT NULL, items TEXT NOT NULL,
    context TEXT NOT NULL, PRIMARY KEY (request_id, unit));
CREATE INDEX exposures_of_person ON exposures (person);
CREATE INDEX exposures_by_time ON exposures (timestamp);
CREATE TABLE dead_letters (
    letter_id TEXT PRIMARY KEY, received DOUBLE PRECISION NOT NULL, place BIGINT NOT NULL,
    reason TEXT NOT NULL, body TEXT NOT NULL, user_id TEXT, anonymous_id TEXT);
CREATE TABLE items (
    item_id TEXT PRIMARY KEY, version BIGINT NOT NULL, title TEXT, text TEXT, categories TEXT,
    price DOUBLE PRECISION, available BOOLEAN, first_seen DOUBLE PRECISION);
CREATE INDEX items_by_version ON items (version);
CREATE TABLE identities (
    anonymous_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, merged DOUBLE PRECISION NOT NULL);
CREATE INDEX identities_of_user ON identities (user_id);
CREATE TABLE forgotten (
    fingerprint TEXT PRIMARY KEY, version BIGINT NOT NULL, forgotten DOUBLE PRECISION NOT NULL);
CREATE INDEX forgotten_by_version ON forgotten (version);
CREATE TABLE salt (salt TEXT PRIMARY KEY);
INSERT INTO salt VALUES ('{salt}');
