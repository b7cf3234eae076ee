-- Version 1. Rows folded from the records; only what filters and orders is a column.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,
    revision TEXT NOT NULL,
    filtered INTEGER NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX events_received ON events (received_at);
CREATE INDEX events_revision ON events (revision);
CREATE INDEX events_filtered ON events (position) WHERE filtered > 0;

CREATE TABLE decisions (
    position INTEGER NOT NULL,
    place INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    decision TEXT NOT NULL,
    PRIMARY KEY (position, place)
) WITHOUT ROWID;
CREATE INDEX decisions_name ON decisions (name, position, namespace);
CREATE INDEX decisions_name_decision ON decisions (name, decision, position, namespace);
CREATE INDEX decisions_decision ON decisions (decision, position);

CREATE TABLE firings (
    id TEXT PRIMARY KEY NOT NULL,
    event_key TEXT NOT NULL,
    position INTEGER NOT NULL,
    place INTEGER NOT NULL,
    done INTEGER NOT NULL,
    bare INTEGER NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX firings_event ON firings (event_key, position, place, done);
CREATE INDEX firings_bare ON firings (position, place) WHERE bare AND done;

CREATE TABLE runs (
    id TEXT PRIMARY KEY NOT NULL,
    firing TEXT NOT NULL,
    event_key TEXT NOT NULL,
    event_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    place INTEGER NOT NULL,
    namespace TEXT,
    name TEXT,
    template_namespace TEXT NOT NULL,
    template_name TEXT NOT NULL,
    outcome TEXT,
    finished_at INTEGER,
    settled INTEGER NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX runs_order ON runs (position, place);
CREATE INDEX runs_name ON runs (name, position, place, namespace) WHERE name IS NOT NULL;
CREATE INDEX runs_outcome ON runs (outcome, position, place) WHERE outcome IS NOT NULL;
CREATE INDEX runs_name_outcome ON runs (name, outcome, position, place, namespace)
    WHERE name IS NOT NULL AND outcome IS NOT NULL;
CREATE INDEX runs_event ON runs (event_key);
CREATE INDEX runs_event_id ON runs (event_id);
CREATE INDEX runs_firing ON runs (firing, position, place);
CREATE INDEX runs_template ON runs (template_namespace, template_name, position, place, firing)
    WHERE settled;
CREATE INDEX runs_template_age ON runs (template_namespace, template_name, finished_at, firing)
    WHERE settled;
