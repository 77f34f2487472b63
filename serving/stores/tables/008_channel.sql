-- what all hosts follow: one release, one set of rules, one of experiments; since: when it counts, by this database's clock
CREATE TABLE channel (
    kind TEXT NOT NULL, number BIGINT NOT NULL, version TEXT NOT NULL, sha256 TEXT NOT NULL, body TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, PRIMARY KEY (kind, number));
