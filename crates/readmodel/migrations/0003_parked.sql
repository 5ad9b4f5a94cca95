-- Inputs parked by a defect, of whichever service; and facts that wait for another fact.
ALTER TABLE tributary.parked_rows
    ADD COLUMN service text NOT NULL DEFAULT 'commission',
    ADD COLUMN item text NOT NULL DEFAULT '',
    ADD COLUMN program_id text NOT NULL DEFAULT '',
    ADD COLUMN event_id text NOT NULL DEFAULT '',
    ADD COLUMN attempts bigint NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz,
    ADD COLUMN settled_at timestamptz;
UPDATE tributary.parked_rows SET updated_at = parked_at;
ALTER TABLE tributary.parked_rows ALTER COLUMN updated_at SET NOT NULL;
ALTER TABLE tributary.parked_rows DROP CONSTRAINT parked_rows_pkey;
ALTER TABLE tributary.parked_rows ADD PRIMARY KEY (partition, service, position, item);
CREATE INDEX parked_rows_event ON tributary.parked_rows (event_id) WHERE settled_at IS NULL;

-- Which coupon a sale named by its provider's id: what a sale without a known coupon waits for.
CREATE TABLE tributary.coupon_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    program_id text NOT NULL,
    source text NOT NULL,
    sale_external_id text NOT NULL,
    reference text NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX coupon_rows_sale ON tributary.coupon_rows USING hash (sale_external_id);

CREATE INDEX verdict_rows_quarantined_position ON tributary.verdict_rows (partition, position) WHERE verdict = 'quarantined';
CREATE INDEX reversal_rows_parked ON tributary.reversal_rows (partition, seq) WHERE result = 'parked';
CREATE INDEX sale_rows_coupon_unknown ON tributary.sale_rows (partition, seq) WHERE reason = 'coupon_unknown';

-- A reversal that came before its sale is recorded once more when the sale is here, under whichever name.
CREATE OR REPLACE VIEW tributary.reversals AS
    SELECT r.program_id, r.source, r.sale_external_id, r.object_id, r.event_id, r.family, r.state, r.currency,
           r.gross_minor, r.net_minor, r.result,
           r.result = 'parked' AND NOT EXISTS (
               SELECT FROM tributary.reversal_rows m
               WHERE m.object_id = r.object_id AND m.program_id = r.program_id AND m.source = r.source
                 AND m.family = r.family AND m.result <> 'parked'
           ) AS waiting,
           r.recorded_at, r.partition, r.seq, r.ordinal
    FROM tributary.reversal_rows r;

-- As before, and: how long, how often tried, what exactly, and the command that tries again.
CREATE OR REPLACE VIEW tributary.quarantine AS
    SELECT q.program_id, q.event_id, q.source, q.delivery_key, q.reason, q.detail, q.received_at,
           q.decided_at AS quarantined_at, coalesce(q.retry_of, q.position) AS position, q.partition,
           'normalizer'::text AS service,
           now() - coalesce(
               (SELECT min(o.decided_at) FROM tributary.verdict_rows o
                WHERE o.partition = q.partition AND o.position = q.retry_of AND o.verdict = 'quarantined'),
               q.decided_at) AS age,
           1 + (SELECT count(*) FROM tributary.verdict_rows t
                WHERE t.partition = q.partition AND t.retry_of = coalesce(q.retry_of, q.position)) AS attempts,
           ''::text AS item,
           'tributary quarantine retry ' || q.event_id AS retry
    FROM tributary.verdict_rows q
    WHERE q.verdict = 'quarantined'
      AND NOT EXISTS (
          SELECT FROM tributary.verdict_rows r
          WHERE r.partition = q.partition AND r.retry_of = coalesce(q.retry_of, q.position) AND r.seq > q.seq)
      AND (q.reason = 'conflict' OR NOT EXISTS (
          SELECT FROM tributary.verdict_rows a
          WHERE a.event_id = q.event_id AND a.verdict = 'applied' AND a.partition = q.partition AND a.seq > q.seq))
    UNION ALL
    SELECT nullif(p.program_id, ''), nullif(p.event_id, ''), NULL, NULL, 'defect', p.detail, NULL, p.updated_at,
           p.position, p.partition, p.service, now() - p.parked_at, p.attempts, p.item,
           'tributary quarantine retry ' || p.service || '/' || p.partition || '/' || p.position
    FROM tributary.parked_rows p
    WHERE p.settled_at IS NULL;

-- Facts that were applied and wait for another one; nothing has to be done, unless what they wait for never comes.
CREATE VIEW tributary.parked AS
    SELECT r.program_id, r.family AS kind, r.source, r.object_id AS external_id, r.event_id,
           'sale'::text AS waits_for, r.sale_external_id AS waits_for_id, r.currency, r.gross_minor,
           r.recorded_at AS parked_at, now() - r.recorded_at AS age, r.partition, r.seq
    FROM tributary.reversal_rows r
    WHERE r.result = 'parked'
      AND NOT EXISTS (
          SELECT FROM tributary.reversal_rows m
          WHERE m.object_id = r.object_id AND m.program_id = r.program_id AND m.source = r.source
            AND m.family = r.family AND (m.result <> 'parked' OR (m.partition = r.partition AND (m.seq, m.ordinal) > (r.seq, r.ordinal))))
    UNION ALL
    SELECT s.program_id, 'sale', s.source, s.external_id, s.event_id, 'coupon',
           (SELECT c.reference FROM tributary.coupon_rows c
            WHERE c.sale_external_id = s.external_id AND c.program_id = s.program_id AND c.source = s.source
            ORDER BY c.seq LIMIT 1),
           s.currency, s.gross_minor, s.created_at, now() - s.created_at, s.partition, s.seq
    FROM tributary.sale_rows s
    WHERE s.reason = 'coupon_unknown' AND s.partner_id IS NULL;

COMMENT ON COLUMN tributary.reversals.waiting IS 'Its sale is still not here.';

COMMENT ON VIEW tributary.quarantine IS 'Events that could not be used and are not resolved, and inputs parked by a defect of a service.';
COMMENT ON COLUMN tributary.quarantine.program_id IS 'Program; null where a parked input does not tell.';
COMMENT ON COLUMN tributary.quarantine.event_id IS 'Event; null where a parked input does not tell.';
COMMENT ON COLUMN tributary.quarantine.quarantined_at IS 'Log clock of the last attempt.';
COMMENT ON COLUMN tributary.quarantine.position IS 'Names it to a retry: position of the original in the input of the service (ingest position for the normalizer, else frame of the topic before).';
COMMENT ON COLUMN tributary.quarantine.age IS 'Time since the first attempt, by the database''s clock: the only column here that changes without an event.';
COMMENT ON COLUMN tributary.quarantine.attempts IS 'How often it was tried.';
COMMENT ON COLUMN tributary.quarantine.item IS 'What exactly is parked, where it is one item of a clock tick: the sale; empty otherwise.';
COMMENT ON COLUMN tributary.quarantine.retry IS 'Command that tries it again, once the cause is mended.';

COMMENT ON VIEW tributary.parked IS 'Applied facts that wait for another fact: refunds before their sale, sales whose coupon is not defined yet. They continue by themselves when it comes.';
COMMENT ON COLUMN tributary.parked.program_id IS 'Program.';
COMMENT ON COLUMN tributary.parked.kind IS 'What waits: sale, refund, chargeback, chargeback_reverse, refund_total or chargeback_warning.';
COMMENT ON COLUMN tributary.parked.source IS 'Provider or dialect.';
COMMENT ON COLUMN tributary.parked.external_id IS 'Its id at its source.';
COMMENT ON COLUMN tributary.parked.event_id IS 'External event that brought it.';
COMMENT ON COLUMN tributary.parked.waits_for IS 'What it waits for: sale or coupon (its definition).';
COMMENT ON COLUMN tributary.parked.waits_for_id IS 'The id of that at the source.';
COMMENT ON COLUMN tributary.parked.currency IS 'ISO 4217 code of the amount.';
COMMENT ON COLUMN tributary.parked.gross_minor IS 'Its amount, tax included. Minor units.';
COMMENT ON COLUMN tributary.parked.parked_at IS 'Log clock when it began to wait.';
COMMENT ON COLUMN tributary.parked.age IS 'Time since then, by the database''s clock.';
COMMENT ON COLUMN tributary.parked.partition IS 'Partition of the log.';
COMMENT ON COLUMN tributary.parked.seq IS 'Frame within the partition.';
