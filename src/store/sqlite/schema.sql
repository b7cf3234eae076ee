-- Version 1. What arrived; what was decided; the terms and revisions.
CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    attributes TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE records (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    term INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    leader TEXT,
    leads_since INTEGER
);
INSERT INTO state (one, term, revision) VALUES (1, 0, 0);
