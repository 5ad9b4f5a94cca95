-- The hash chain of each program: where an event is in it, and its head.
--
-- Null in rows that an older version of the projector wrote or still writes: a migration cannot compute what only the log
-- knows. The new generation of rows, which this version of the projector begins, has them all.
ALTER TABLE tributary.commission_event_rows ADD COLUMN chain_position bigint;
ALTER TABLE tributary.commission_event_rows ADD COLUMN chain_link bytea;

CREATE TABLE tributary.chain_rows (
    program_id text PRIMARY KEY,
    events bigint NOT NULL,
    link bytea NOT NULL,
    root bytea NOT NULL,
    -- Roots of the tree's full subtrees, 32 bytes each, the largest first: what is needed to go on.
    peaks bytea NOT NULL,
    partition integer NOT NULL,
    updated_at timestamptz NOT NULL
);
-- Few rows, updated all the time.
ALTER TABLE tributary.chain_rows SET (fillfactor = 50);

CREATE OR REPLACE VIEW tributary.commission_events AS
    SELECT commission_id, program_id, partner_id, sale_id, kind, status, currency, gross_minor, reversed_minor,
           delta_minor, postings, cause_event_id, reason, actor, recorded_at, partition, seq, ordinal, holds,
           chain_position, encode(chain_link, 'hex') AS chain_link
    FROM tributary.commission_event_rows;

CREATE VIEW tributary.chains AS
    SELECT program_id, events, encode(link, 'hex') AS link, encode(root, 'hex') AS root, partition, updated_at
    FROM tributary.chain_rows;

COMMENT ON COLUMN tributary.commission_events.chain_position IS 'Place of the event in its program''s hash chain, from 1. Other events of the program have places too, so there are gaps.';
COMMENT ON COLUMN tributary.commission_events.chain_link IS 'Link of the hash chain after the event (hex): SHA-256 of the link before it and the event''s leaf.';
COMMENT ON VIEW tributary.chains IS 'Head of each program''s hash chain over everything that was recorded about its money.';
COMMENT ON COLUMN tributary.chains.program_id IS 'Program.';
COMMENT ON COLUMN tributary.chains.events IS 'Events in the chain: the place of the last one.';
COMMENT ON COLUMN tributary.chains.link IS 'Link after the last event (hex).';
COMMENT ON COLUMN tributary.chains.root IS 'Root of the Merkle tree over all events (hex), as in RFC 6962.';
COMMENT ON COLUMN tributary.chains.partition IS 'Partition of the log.';
COMMENT ON COLUMN tributary.chains.updated_at IS 'Log clock of the last event.';

-- Of a partition one generation is there: the older one's cursors go with its rows.
CREATE OR REPLACE VIEW tributary.freshness AS
    SELECT topic, partition, seq, tributary.moment(clock_micros) AS as_of
    FROM tributary.cursor_rows
    WHERE seq > 0;
