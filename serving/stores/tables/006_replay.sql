-- what an answer was made of: its request and versions; items before their last change; rules and live counts
ALTER TABLE exposures ADD COLUMN replay TEXT;
CREATE TABLE item_versions (
    version BIGINT PRIMARY KEY, item_id TEXT NOT NULL, title TEXT, text TEXT, categories TEXT,
    price DOUBLE PRECISION, available BOOLEAN, first_seen DOUBLE PRECISION,
    replaced DOUBLE PRECISION NOT NULL);
CREATE INDEX item_versions_by_time ON item_versions (replaced);
CREATE TABLE snapshots (
    kind TEXT NOT NULL, version TEXT NOT NULL, used DOUBLE PRECISION NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, version));
CREATE INDEX snapshots_by_time ON snapshots (used);
