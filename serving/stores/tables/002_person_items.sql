-- what a person has met is found however much happened since; `counted`: when it was first met
CREATE TABLE person_items (
    person TEXT NOT NULL, item_id TEXT NOT NULL, event TEXT NOT NULL, counted DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (person, item_id, event)){clustered};
INSERT INTO person_items SELECT person, item_id, event, max(timestamp) FROM events
    GROUP BY person, item_id, event;
