-- Payouts, offsets, write-offs, rates, terms and destinations; and what a commission's amount is made of, so that a statement
-- can be computed again by whoever reads it.
CREATE TABLE tributary.payout_rows (
    payout_id text PRIMARY KEY,
    program_id text NOT NULL,
    partner_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('drafted', 'settled', 'failed', 'returned')),
    currency text NOT NULL,
    total_minor bigint NOT NULL,
    paid_currency text NOT NULL,
    paid_minor bigint NOT NULL,
    rate_id text,
    partition integer NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX payout_rows_partner ON tributary.payout_rows (program_id, partner_id, created_at);
CREATE INDEX payout_rows_partition ON tributary.payout_rows (partition);

CREATE TABLE tributary.payout_event_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    payout_id text NOT NULL,
    program_id text NOT NULL,
    partner_id text NOT NULL,
    kind text NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL,
    paid_currency text NOT NULL,
    paid_minor bigint NOT NULL,
    rate_id text,
    postings jsonb NOT NULL,
    cause_event_id text,
    reference text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX payout_event_rows_payout ON tributary.payout_event_rows (payout_id);

CREATE TABLE tributary.payout_line_rows (
    payout_id text NOT NULL,
    commission_id text NOT NULL,
    -- From 1, in the order of the draft.
    line integer NOT NULL,
    amount_minor bigint NOT NULL,
    paid_minor bigint NOT NULL,
    further boolean NOT NULL,
    partition integer NOT NULL,
    PRIMARY KEY (payout_id, commission_id)
);
CREATE INDEX payout_line_rows_commission ON tributary.payout_line_rows (commission_id);
CREATE INDEX payout_line_rows_partition ON tributary.payout_line_rows (partition);

CREATE TABLE tributary.offset_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    program_id text NOT NULL,
    partner_id text NOT NULL,
    currency text NOT NULL,
    commission_id text NOT NULL,
    debt_commission_id text NOT NULL,
    amount_minor bigint NOT NULL,
    cause_event_id text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX offset_rows_commission ON tributary.offset_rows (commission_id);
CREATE INDEX offset_rows_debt ON tributary.offset_rows (debt_commission_id);
CREATE INDEX offset_rows_partner ON tributary.offset_rows (program_id, partner_id, recorded_at);

CREATE TABLE tributary.write_off_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    program_id text NOT NULL,
    partner_id text NOT NULL,
    currency text NOT NULL,
    amount_minor bigint NOT NULL,
    -- Whose debt it was: commission and amount.
    claims jsonb NOT NULL,
    postings jsonb NOT NULL,
    cause_event_id text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX write_off_rows_partner ON tributary.write_off_rows (program_id, partner_id, recorded_at);

CREATE TABLE tributary.fx_rate_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    program_id text NOT NULL,
    rate_id text NOT NULL,
    from_currency text NOT NULL,
    to_currency text NOT NULL,
    mantissa bigint NOT NULL,
    exponent integer NOT NULL,
    spread_ppm bigint NOT NULL,
    event_id text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX fx_rate_rows_pair ON tributary.fx_rate_rows (program_id, from_currency, to_currency);

-- The program's own terms have the empty partner.
CREATE TABLE tributary.payout_terms_rows (
    program_id text NOT NULL,
    partner_id text NOT NULL,
    schedule text NOT NULL,
    day integer NOT NULL,
    -- Minor units by currency.
    minimums jsonb NOT NULL,
    pay_in text,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, partner_id)
);

-- Where partners are paid, as the log has it: sealed under the partner's own key, and below that under the master key. Nothing
-- in Postgres opens it, and destroying the key erases it here as well.
CREATE TABLE tributary.payout_destination_rows (
    program_id text NOT NULL,
    partner_id text NOT NULL,
    method text NOT NULL,
    subject text NOT NULL,
    key_id text NOT NULL,
    ciphertext text NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, partner_id)
);

ALTER TABLE tributary.commission_event_rows ADD COLUMN payout_id text;
CREATE INDEX commission_event_rows_partner ON tributary.commission_event_rows (program_id, partner_id, recorded_at);

ALTER TABLE tributary.commission_rows ADD COLUMN payout_id text;
-- What the first amount was computed from: base and rate by slice, how it was rounded, or a flat amount. Rows from before were
-- written without them; a new projection has them.
ALTER TABLE tributary.commission_rows ADD COLUMN rounding text;
ALTER TABLE tributary.commission_rows ADD COLUMN slices jsonb NOT NULL DEFAULT '[]';
ALTER TABLE tributary.commission_rows ADD COLUMN flat_minor bigint;

CREATE OR REPLACE VIEW tributary.commissions AS
    SELECT c.commission_id, c.program_id, c.partner_id, c.sale_id, c.external_id, c.source, c.status, c.currency,
           c.gross_minor, c.reversed_minor, c.gross_minor - c.reversed_minor AS net_minor, c.created_at, c.updated_at,
           c.rule_id, c.rule_version, c.hold_until, c.holds, coalesce(c.uncapped_minor, c.gross_minor) AS uncapped_minor,
           c.origin, c.part, c.parts, c.share, c.share_of,
           (SELECT s.kind FROM tributary.sale_rows s WHERE s.sale_id = c.sale_id) AS conversion,
           c.payout_id, c.status IN ('locked', 'paid') AND c.reversed_minor > 0 AS clawback,
           coalesce((SELECT sum(o.amount_minor) FROM tributary.offset_rows o WHERE o.commission_id = c.commission_id), 0)::bigint
               AS offset_minor,
           c.rounding, c.flat_minor
    FROM tributary.commission_rows c;

CREATE VIEW tributary.commission_slices AS
    SELECT c.program_id, c.partner_id, c.commission_id, s.n::integer AS slice, s.slice ->> 'line_id' AS line_id, c.currency,
           (s.slice ->> 'base_minor')::bigint AS base_minor, (s.slice ->> 'rate_ppm')::bigint AS rate_ppm
    FROM tributary.commission_rows c
    CROSS JOIN LATERAL jsonb_array_elements(c.slices) WITH ORDINALITY AS s (slice, n);

CREATE OR REPLACE VIEW tributary.commission_events AS
    SELECT commission_id, program_id, partner_id, sale_id, kind, status, currency, gross_minor, reversed_minor,
           delta_minor, postings, cause_event_id, reason, actor, recorded_at, partition, seq, ordinal, holds,
           chain_position, encode(chain_link, 'hex') AS chain_link, payout_id
    FROM tributary.commission_event_rows;

CREATE VIEW tributary.payouts AS
    SELECT p.payout_id, p.program_id, p.partner_id, p.status, p.currency, p.total_minor, p.paid_currency, p.paid_minor,
           p.rate_id, p.created_at AS drafted_at,
           (SELECT max(e.recorded_at) FROM tributary.payout_event_rows e
            WHERE e.payout_id = p.payout_id AND e.kind = 'settled') AS settled_at,
           (SELECT max(e.reference) FROM tributary.payout_event_rows e
            WHERE e.payout_id = p.payout_id AND e.kind = 'settled' AND e.reference <> '') AS reference,
           (SELECT count(*) FROM tributary.payout_line_rows l WHERE l.payout_id = p.payout_id) AS lines,
           p.updated_at
    FROM tributary.payout_rows p;

CREATE VIEW tributary.payout_lines AS
    SELECT p.program_id, p.partner_id, l.payout_id, l.line, l.commission_id, p.currency, l.amount_minor, p.paid_currency,
           l.paid_minor, l.further, p.status
    FROM tributary.payout_line_rows l JOIN tributary.payout_rows p USING (payout_id);

CREATE VIEW tributary.payout_events AS
    SELECT payout_id, program_id, partner_id, kind, currency, total_minor, paid_currency, paid_minor, rate_id, postings,
           cause_event_id, reference, reason, actor, recorded_at, partition, seq, ordinal
    FROM tributary.payout_event_rows;

CREATE VIEW tributary.debt_offsets AS
    SELECT program_id, partner_id, currency, commission_id, debt_commission_id, amount_minor, cause_event_id, recorded_at,
           partition, seq, ordinal
    FROM tributary.offset_rows;

CREATE VIEW tributary.write_offs AS
    SELECT program_id, partner_id, currency, amount_minor, claims, postings, cause_event_id, reason, actor, recorded_at,
           partition, seq, ordinal
    FROM tributary.write_off_rows;

CREATE VIEW tributary.fx_rates AS
    SELECT r.program_id, r.rate_id, r.from_currency, r.to_currency, r.mantissa, r.exponent, r.spread_ppm,
           NOT EXISTS (
               SELECT FROM tributary.fx_rate_rows n
               WHERE n.program_id = r.program_id AND n.from_currency = r.from_currency AND n.to_currency = r.to_currency
                 AND n.partition = r.partition AND (n.seq, n.ordinal) > (r.seq, r.ordinal)
           ) AS latest,
           r.event_id, r.actor, r.recorded_at
    FROM tributary.fx_rate_rows r;

CREATE VIEW tributary.payout_terms AS
    SELECT program_id, nullif(partner_id, '') AS partner_id, schedule, nullif(day, 0) AS day, minimums, pay_in, created_at,
           updated_at
    FROM tributary.payout_terms_rows WHERE NOT removed;

CREATE VIEW tributary.payout_destinations AS
    SELECT program_id, partner_id, method, updated_at AS since
    FROM tributary.payout_destination_rows WHERE NOT removed;

COMMENT ON COLUMN tributary.commissions.payout_id IS 'The last payout that it was in; null: none yet.';
COMMENT ON COLUMN tributary.commissions.clawback IS 'Locked or paid, and some of it was taken back since: the partner owes it, or other commissions pay it.';
COMMENT ON COLUMN tributary.commissions.offset_minor IS 'How much of it pays debts of other commissions; see debt_offsets. Minor units.';
COMMENT ON COLUMN tributary.commissions.rounding IS 'How it rounds, frozen: half_even, half_up or floor; null: it was projected before this column was here.';
COMMENT ON COLUMN tributary.commissions.flat_minor IS 'Of a flat reward: its amount, of a divided sale the whole; null: percentages, see commission_slices. Minor units.';
COMMENT ON VIEW tributary.commission_slices IS 'What a percentage was computed on: gross_minor = round(sum of base_minor x rate_ppm / 1000000), once, then divided where the sale is, and capped.';
COMMENT ON COLUMN tributary.commission_slices.program_id IS 'Program.';
COMMENT ON COLUMN tributary.commission_slices.partner_id IS 'Partner who earns the commission.';
COMMENT ON COLUMN tributary.commission_slices.commission_id IS 'Commission; see commissions.';
COMMENT ON COLUMN tributary.commission_slices.slice IS 'From 1: a line, or a band of a tier.';
COMMENT ON COLUMN tributary.commission_slices.line_id IS 'Line of the sale; empty: the whole sale.';
COMMENT ON COLUMN tributary.commission_slices.currency IS 'ISO 4217 code of the commission.';
COMMENT ON COLUMN tributary.commission_slices.base_minor IS 'Base of the slice, as sold. Minor units.';
COMMENT ON COLUMN tributary.commission_slices.rate_ppm IS 'Rate in parts per million; 0 where the reward is flat.';
COMMENT ON COLUMN tributary.commission_events.payout_id IS 'With locked, paid, payout_failed and payout_returned: the payout; null otherwise.';
COMMENT ON VIEW tributary.payouts IS 'Each payout as it stands now.';
COMMENT ON COLUMN tributary.payouts.payout_id IS 'Payout. Never used again: what came back is paid by another.';
COMMENT ON COLUMN tributary.payouts.program_id IS 'Program.';
COMMENT ON COLUMN tributary.payouts.partner_id IS 'Partner who is paid.';
COMMENT ON COLUMN tributary.payouts.status IS 'drafted (its money is in flight), settled, failed or returned.';
COMMENT ON COLUMN tributary.payouts.currency IS 'ISO 4217 code of the balance that it is paid from, and of total_minor.';
COMMENT ON COLUMN tributary.payouts.total_minor IS 'Sum of its lines. Minor units.';
COMMENT ON COLUMN tributary.payouts.paid_currency IS 'ISO 4217 code of paid_minor; another than currency where it was converted.';
COMMENT ON COLUMN tributary.payouts.paid_minor IS 'What the partner gets: the sum of what the lines are paid as. Minor units.';
COMMENT ON COLUMN tributary.payouts.rate_id IS 'Rate that it was converted by; see fx_rates. Null: it was not.';
COMMENT ON COLUMN tributary.payouts.drafted_at IS 'Log clock of its draft.';
COMMENT ON COLUMN tributary.payouts.settled_at IS 'Log clock of its settlement; null: none yet.';
COMMENT ON COLUMN tributary.payouts.reference IS 'Id of the payment at whoever paid it; null: nobody said.';
COMMENT ON COLUMN tributary.payouts.lines IS 'Number of its lines.';
COMMENT ON COLUMN tributary.payouts.updated_at IS 'Log clock of its last change.';
COMMENT ON VIEW tributary.payout_lines IS 'What each payout pays for each commission.';
COMMENT ON COLUMN tributary.payout_lines.program_id IS 'Program.';
COMMENT ON COLUMN tributary.payout_lines.partner_id IS 'Partner who is paid.';
COMMENT ON COLUMN tributary.payout_lines.payout_id IS 'Payout; see payouts.';
COMMENT ON COLUMN tributary.payout_lines.line IS 'From 1, in the order of the draft.';
COMMENT ON COLUMN tributary.payout_lines.commission_id IS 'Commission; see commissions.';
COMMENT ON COLUMN tributary.payout_lines.currency IS 'ISO 4217 code of amount_minor.';
COMMENT ON COLUMN tributary.payout_lines.amount_minor IS 'What was payable of the commission: its net less its offsets, if it was never paid. Minor units.';
COMMENT ON COLUMN tributary.payout_lines.paid_currency IS 'ISO 4217 code of paid_minor.';
COMMENT ON COLUMN tributary.payout_lines.paid_minor IS 'The same in the currency that is paid, rounded once. Minor units.';
COMMENT ON COLUMN tributary.payout_lines.further IS 'The commission was in a payout before and got money back since.';
COMMENT ON COLUMN tributary.payout_lines.status IS 'Status of the payout.';
COMMENT ON VIEW tributary.payout_events IS 'Append-only history of payouts.';
COMMENT ON COLUMN tributary.payout_events.payout_id IS 'Payout; see payouts.';
COMMENT ON COLUMN tributary.payout_events.program_id IS 'Program.';
COMMENT ON COLUMN tributary.payout_events.partner_id IS 'Partner who is paid.';
COMMENT ON COLUMN tributary.payout_events.kind IS 'drafted, settled, failed or returned.';
COMMENT ON COLUMN tributary.payout_events.currency IS 'ISO 4217 code of total_minor.';
COMMENT ON COLUMN tributary.payout_events.total_minor IS 'Sum of its lines. Minor units.';
COMMENT ON COLUMN tributary.payout_events.paid_currency IS 'ISO 4217 code of paid_minor.';
COMMENT ON COLUMN tributary.payout_events.paid_minor IS 'What the lines are paid as. Minor units.';
COMMENT ON COLUMN tributary.payout_events.rate_id IS 'Rate that it was converted by; null: it was not.';
COMMENT ON COLUMN tributary.payout_events.postings IS 'What rounding line by line left over, between expense and fx_rounding; the lines have postings of their own in commission_events.';
COMMENT ON COLUMN tributary.payout_events.cause_event_id IS 'External event that caused it; null: a schedule.';
COMMENT ON COLUMN tributary.payout_events.reference IS 'Id of the payment at whoever paid it; empty: nobody said.';
COMMENT ON COLUMN tributary.payout_events.reason IS 'Why it failed or came back.';
COMMENT ON COLUMN tributary.payout_events.actor IS 'schedule, or a person.';
COMMENT ON COLUMN tributary.payout_events.recorded_at IS 'Log clock.';
COMMENT ON COLUMN tributary.payout_events.partition IS 'Partition of the log.';
COMMENT ON COLUMN tributary.payout_events.seq IS 'Frame in the partition.';
COMMENT ON COLUMN tributary.payout_events.ordinal IS 'Place in the frame.';
COMMENT ON VIEW tributary.debt_offsets IS 'Which commission paid back which debt. Append-only; an offset that was undone has a row with the amount below 0.';
COMMENT ON COLUMN tributary.debt_offsets.program_id IS 'Program.';
COMMENT ON COLUMN tributary.debt_offsets.partner_id IS 'Partner of both commissions.';
COMMENT ON COLUMN tributary.debt_offsets.currency IS 'ISO 4217 code of amount_minor.';
COMMENT ON COLUMN tributary.debt_offsets.commission_id IS 'Commission that pays.';
COMMENT ON COLUMN tributary.debt_offsets.debt_commission_id IS 'Commission that owes: it was refunded after it was paid, or takes by itself.';
COMMENT ON COLUMN tributary.debt_offsets.amount_minor IS 'How much; below 0: it does no longer. Minor units.';
COMMENT ON COLUMN tributary.debt_offsets.cause_event_id IS 'External event that caused it; null: the clock.';
COMMENT ON COLUMN tributary.debt_offsets.recorded_at IS 'Log clock.';
COMMENT ON COLUMN tributary.debt_offsets.partition IS 'Partition of the log.';
COMMENT ON COLUMN tributary.debt_offsets.seq IS 'Frame in the partition.';
COMMENT ON COLUMN tributary.debt_offsets.ordinal IS 'Place in the frame.';
COMMENT ON VIEW tributary.write_offs IS 'Debts that programs gave up. Append-only.';
COMMENT ON COLUMN tributary.write_offs.program_id IS 'Program.';
COMMENT ON COLUMN tributary.write_offs.partner_id IS 'Partner who owed.';
COMMENT ON COLUMN tributary.write_offs.currency IS 'ISO 4217 code of amount_minor.';
COMMENT ON COLUMN tributary.write_offs.amount_minor IS 'How much. Minor units.';
COMMENT ON COLUMN tributary.write_offs.claims IS 'The commissions that owed it: commission_id and amount_minor of each.';
COMMENT ON COLUMN tributary.write_offs.postings IS 'Between debt and program_loss.';
COMMENT ON COLUMN tributary.write_offs.cause_event_id IS 'External event.';
COMMENT ON COLUMN tributary.write_offs.reason IS 'Why.';
COMMENT ON COLUMN tributary.write_offs.actor IS 'Who.';
COMMENT ON COLUMN tributary.write_offs.recorded_at IS 'Log clock.';
COMMENT ON COLUMN tributary.write_offs.partition IS 'Partition of the log.';
COMMENT ON COLUMN tributary.write_offs.seq IS 'Frame in the partition.';
COMMENT ON COLUMN tributary.write_offs.ordinal IS 'Place in the frame.';
COMMENT ON VIEW tributary.fx_rates IS 'Rates of exchange, every one that was recorded. One unit of from_currency is mantissa x 10^exponent units of to_currency, whole units, not minor ones.';
COMMENT ON COLUMN tributary.fx_rates.program_id IS 'Program.';
COMMENT ON COLUMN tributary.fx_rates.rate_id IS 'Its id, the merchant''s; payouts name it.';
COMMENT ON COLUMN tributary.fx_rates.from_currency IS 'ISO 4217 code: converts from.';
COMMENT ON COLUMN tributary.fx_rates.to_currency IS 'ISO 4217 code: converts to.';
COMMENT ON COLUMN tributary.fx_rates.mantissa IS 'Digits of the rate.';
COMMENT ON COLUMN tributary.fx_rates.exponent IS 'Power of ten that mantissa is multiplied by.';
COMMENT ON COLUMN tributary.fx_rates.spread_ppm IS 'What the program keeps of each conversion, in parts per million.';
COMMENT ON COLUMN tributary.fx_rates.latest IS 'The last of its pair of currencies: the one that drafts use.';
COMMENT ON COLUMN tributary.fx_rates.event_id IS 'External event that brought it.';
COMMENT ON COLUMN tributary.fx_rates.actor IS 'Who says so.';
COMMENT ON COLUMN tributary.fx_rates.recorded_at IS 'Log clock.';
COMMENT ON VIEW tributary.payout_terms IS 'When and how partners are paid: by program, and by partner where one has terms of its own.';
COMMENT ON COLUMN tributary.payout_terms.program_id IS 'Program.';
COMMENT ON COLUMN tributary.payout_terms.partner_id IS 'Partner; null: all of the program that have no terms of their own.';
COMMENT ON COLUMN tributary.payout_terms.schedule IS 'When drafts are made: manual, weekly or monthly.';
COMMENT ON COLUMN tributary.payout_terms.day IS 'weekly: 1 is Monday; monthly: the day, in a shorter month its last; null: manual.';
COMMENT ON COLUMN tributary.payout_terms.minimums IS 'Least amount of a draft by currency, in minor units; in others whatever is above 0.';
COMMENT ON COLUMN tributary.payout_terms.pay_in IS 'ISO 4217 code that everything is converted into; null: as earned.';
COMMENT ON COLUMN tributary.payout_terms.created_at IS 'Log clock of their creation.';
COMMENT ON COLUMN tributary.payout_terms.updated_at IS 'Log clock of their last change.';
COMMENT ON VIEW tributary.payout_destinations IS 'How partners are paid. Where is sealed: the export of payouts opens it, no view does.';
COMMENT ON COLUMN tributary.payout_destinations.program_id IS 'Program.';
COMMENT ON COLUMN tributary.payout_destinations.partner_id IS 'Partner.';
COMMENT ON COLUMN tributary.payout_destinations.method IS 'paypal or wise.';
COMMENT ON COLUMN tributary.payout_destinations.since IS 'Log clock of its last change.';
