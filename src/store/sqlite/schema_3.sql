-- Version 3. Keys of events, as bytes, in a table of their own, which is behind: see `keys.rs`; and
-- bodies that may be packed.
CREATE TABLE inbox_keys (
    key BLOB PRIMARY KEY NOT NULL,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO inbox_keys (key, seq) SELECT unhex(key), seq FROM inbox ORDER BY key;
ALTER TABLE state ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
UPDATE state SET indexed = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0);
CREATE TABLE inbox_3 (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    attributes TEXT NOT NULL,
    body BLOB NOT NULL,
    -- Whether the body is an LZ4 block.
    packed INTEGER NOT NULL DEFAULT 0
);
INSERT INTO inbox_3 (seq, key, attributes, body) SELECT seq, key, attributes, body FROM inbox;
-- The last position may have been deleted since, and is never given again.
DELETE FROM sqlite_sequence WHERE name = 'inbox_3';
INSERT INTO sqlite_sequence (name, seq) SELECT 'inbox_3', indexed FROM state;
DROP TABLE inbox;
ALTER TABLE inbox_3 RENAME TO inbox;
