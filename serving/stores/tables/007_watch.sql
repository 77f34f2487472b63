-- `recsys watch`: which process watches, and what it found
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until DOUBLE PRECISION NOT NULL);
CREATE TABLE findings (
    finding_id TEXT PRIMARY KEY, at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
    bundle_id TEXT NOT NULL, policy TEXT NOT NULL);
CREATE INDEX findings_by_time ON findings (at);
