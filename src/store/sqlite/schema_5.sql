-- Version 5. Commits whose writes are in no other table yet: see `pending.rs`. `state.revision` is the newest
-- commit that is in all of them.
CREATE TABLE pending (
    revision INTEGER PRIMARY KEY NOT NULL,
    -- An array of pairs: a key, and its record or null.
    writes TEXT NOT NULL
);
