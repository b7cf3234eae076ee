-- Version 2. Firings are found by trigger and outcome, events by source and type.
ALTER TABLE firings ADD COLUMN namespace TEXT NOT NULL DEFAULT '';
ALTER TABLE firings ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE firings ADD COLUMN outcome TEXT;
UPDATE firings SET
    namespace = substr(json ->> '$.value.trigger', 1, instr(json ->> '$.value.trigger', '/') - 1),
    name = substr(json ->> '$.value.trigger', instr(json ->> '$.value.trigger', '/') + 1),
    outcome = json ->> '$.value.outcome';
CREATE INDEX firings_order ON firings (position, place);
CREATE INDEX firings_name ON firings (name, position, place, namespace);
CREATE INDEX firings_outcome ON firings (outcome, position, place) WHERE outcome IS NOT NULL;
CREATE INDEX firings_name_outcome ON firings (name, outcome, position, place, namespace)
    WHERE outcome IS NOT NULL;

ALTER TABLE events ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN type TEXT NOT NULL DEFAULT '';
UPDATE events SET
    source = json ->> '$.value.attributes.source',
    type = json ->> '$.value.attributes.type';
CREATE INDEX events_source ON events (source, position);
CREATE INDEX events_type ON events (type, position);
