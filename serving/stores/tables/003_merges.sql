-- who said that a guest is a user, and whose the guest was before: what a merge did can be undone
CREATE TABLE merges (
    merge_id TEXT PRIMARY KEY, merged DOUBLE PRECISION NOT NULL, anonymous_id TEXT NOT NULL,
    user_id TEXT NOT NULL, before TEXT, sent_by TEXT);
CREATE INDEX merges_of_guest ON merges (anonymous_id, merged);
CREATE INDEX merges_of_user ON merges (user_id);
CREATE INDEX merges_from_user ON merges (before);
