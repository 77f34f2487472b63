-- what administrators did; people are named by their salted hash
CREATE TABLE audit (
    audit_id TEXT PRIMARY KEY, at DOUBLE PRECISION NOT NULL, key TEXT, action TEXT NOT NULL, what TEXT,
    before TEXT, after TEXT);
CREATE INDEX audit_by_time ON audit (at);
