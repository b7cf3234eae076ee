-- Version 4. What tells this data folder from every other, where they share something.
ALTER TABLE state ADD COLUMN folder TEXT NOT NULL DEFAULT '';
UPDATE state SET folder = lower(hex(randomblob(16)));
