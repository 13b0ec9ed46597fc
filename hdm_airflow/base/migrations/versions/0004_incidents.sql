-- Incidents: the life of an alert from night to night. They are derived from the alerts of each metric date, from the
-- ledger, and from what rule packs say they could not judge.

-- Written by rule packs in the transaction of their alerts. An empty rule, table or column means all; with the kinds
-- `usual` and `explained`, which name one incident each, it means none.
CREATE TABLE hdm_not_judged (
    rule_pack text NOT NULL,
    endpoint text NOT NULL,                     -- slug
    "date" date NOT NULL,                       -- the metric date
    rule_id text NOT NULL DEFAULT '',
    "table" text NOT NULL DEFAULT '',
    "column" text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN (
        'no metrics', 'no history', 'not applicable', 'error',  -- an open incident stays open
        'explained',                                            -- likewise: a fault, but another alert stands for it
        'retired', 'gone', 'usual'                              -- it is closed: rule off, object dropped, the new normal
    )),
    reason text NOT NULL DEFAULT '',            -- one line, without values of rows
    PRIMARY KEY ("date", endpoint, rule_pack, rule_id, "table", "column")
);
COMMENT ON TABLE hdm_not_judged IS 'What rule packs could not judge on a metric date: an alert that is missing there proves nothing';

-- One per rule pack, endpoint, rule, table and column. All dates are metric dates.
CREATE TABLE hdm_incident (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_pack text NOT NULL,
    endpoint text NOT NULL,                     -- slug
    rule_id text NOT NULL,
    "table" text NOT NULL,                      -- '' = no single table
    "column" text NOT NULL,                     -- '' = no single column
    state text NOT NULL CHECK (state IN ('open', 'resolved', 'closed')),
    closed_as text CHECK (closed_as IN ('retired', 'gone', 'usual', 'deactivated', 'accepted', 'by hand')),
    level text NOT NULL CHECK (level IN ('High', 'Warning', 'Info')),  -- of its newest alert
    first_on date NOT NULL,                     -- the first alert of all
    opened_on date NOT NULL,                    -- when it was opened or reopened last
    ended_on date,                              -- when it was resolved or closed; null: open
    not_judged_since date,                      -- open, and this object was not judged any more; null: see the pack's runs
    last_on date,                               -- its last alert; null: the newest night that judged it has one
    -- What people do with it; a night changes none of it.
    acknowledged_by text,
    acknowledged_on date,                       -- the metric date they saw; before opened_on: of an earlier time
    assignee text,
    muted_until date,                           -- the last date without messages; infinity: until it is resolved
    muted_on date,                              -- the metric date they saw; before opened_on: over, if until resolved
    UNIQUE (rule_pack, endpoint, rule_id, "table", "column"),
    CHECK ((state = 'closed') = (closed_as IS NOT NULL)),
    CHECK ((state = 'open') = (ended_on IS NULL)),
    CHECK (state = 'open' OR not_judged_since IS NULL)
);
-- What a night without the alert ends. `state = 'open'` implies it.
CREATE INDEX hdm_incident_open ON hdm_incident (endpoint, rule_pack) WHERE state = 'open' OR closed_as = 'accepted';
COMMENT ON TABLE hdm_incident IS 'Incidents: one per rule pack, endpoint, rule, table and column';

-- What happened to an incident. A late or repeated metric date corrects the derived events: one per date and kind, never
-- deleted but withdrawn. Of those of people, it corrects only whether they have closed an incident.
CREATE TABLE hdm_incident_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident bigint NOT NULL REFERENCES hdm_incident,
    kind text NOT NULL CHECK (kind IN (
        'opened', 'reopened', 'level', 'judged', 'not judged', 'resolved', 'closed',    -- derived; `closed` also by people
        'acknowledged', 'assigned', 'commented', 'muted', 'unmuted', 'accepted'         -- of people
    )),
    "date" date NOT NULL,                       -- the metric date; of people's: the newest that was judged
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text,                                 -- who did it; null: derived
    state text NOT NULL,                        -- of the incident afterwards, as the next four
    closed_as text,                             -- of people's event `closed`, null is 'by hand'
    level text NOT NULL,
    opened_on date NOT NULL,
    not_judged_since date,
    last_on date,
    detail text NOT NULL DEFAULT '',            -- reason, comment, assignee, former level
    silent boolean NOT NULL DEFAULT false,      -- no news: a date that came late, an accepted end, an upgrade
    withdrawn boolean NOT NULL DEFAULT false    -- corrected away, not to be shown; of people's: it was not open, no effect
);
CREATE INDEX hdm_incident_event_incident ON hdm_incident_event (incident, "date");
CREATE UNIQUE INDEX hdm_incident_event_derived ON hdm_incident_event (incident, "date", kind) WHERE actor IS NULL;
CREATE INDEX hdm_incident_event_date ON hdm_incident_event ("date", kind);
COMMENT ON TABLE hdm_incident_event IS 'What happened to incidents: derived, and done by people';

-- Totals of each night, so that a page need not read its alerts and incidents. Closed and open are those of the night: what
-- people close with this date at hand counts from the next one on.
CREATE TABLE hdm_incident_count (
    rule_pack text NOT NULL,
    endpoint text NOT NULL,                     -- slug
    "date" date NOT NULL,                       -- a metric date whose incidents were derived
    level text NOT NULL CHECK (level IN ('High', 'Warning', 'Info')),
    alerts bigint NOT NULL,
    opened bigint NOT NULL,
    reopened bigint NOT NULL,
    resolved bigint NOT NULL,
    closed bigint NOT NULL,
    open bigint NOT NULL,                       -- at the end of the date
    not_judged bigint NOT NULL,                 -- of those
    PRIMARY KEY (rule_pack, endpoint, "date", level)
);
COMMENT ON TABLE hdm_incident_count IS 'Alerts and incidents per rule pack, endpoint, metric date and level';

-- Which rows of the ledger incidents were derived from: after a crash, the next run of the pack continues. Of each rule
-- pack and endpoint, the newest night that may be used is derived too, silently (null): so faults that stand are known,
-- and are no news. Attempts that are running now are derived as any later one.
ALTER TABLE hdm_pack_run ADD COLUMN derived boolean DEFAULT true;
ALTER TABLE hdm_pack_run ALTER COLUMN derived SET DEFAULT false;
UPDATE hdm_pack_run SET derived = CASE WHEN status <> 'running' THEN NULL ELSE false END
WHERE kind = 'rule' AND (status = 'running' OR id IN (
    SELECT DISTINCT ON (pack, endpoint) id FROM (
        SELECT DISTINCT ON (pack, endpoint, metric_date) id, pack, endpoint, metric_date, status
        FROM hdm_pack_run WHERE kind = 'rule' ORDER BY pack, endpoint, metric_date DESC, id DESC
    ) AS newest
    WHERE status IN ('success', 'partial') ORDER BY pack, endpoint, metric_date DESC
));
CREATE INDEX hdm_pack_run_underived ON hdm_pack_run (pack) WHERE kind = 'rule' AND derived IS NOT TRUE;
