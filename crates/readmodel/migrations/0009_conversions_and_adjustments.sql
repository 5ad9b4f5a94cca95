-- What a commission is for and which part of a sale it is, conversions that are no sales, and how a program releases.
ALTER TABLE tributary.commission_rows ADD COLUMN origin text NOT NULL DEFAULT 'conversion';
ALTER TABLE tributary.commission_rows ADD COLUMN part integer;
ALTER TABLE tributary.commission_rows ADD COLUMN parts integer;
ALTER TABLE tributary.commission_rows ADD COLUMN share bigint;
ALTER TABLE tributary.commission_rows ADD COLUMN share_of bigint;

-- Those that a person made stand under the event that made them.
CREATE INDEX commission_rows_made ON tributary.commission_rows (external_id) WHERE origin <> 'conversion';

ALTER TABLE tributary.sale_rows ADD COLUMN kind text NOT NULL DEFAULT 'sale';
ALTER TABLE tributary.sale_rows ADD COLUMN parts integer NOT NULL DEFAULT 1;

ALTER TABLE tributary.program_rows ADD COLUMN release_mode text NOT NULL DEFAULT 'days';
ALTER TABLE tributary.program_rows ADD COLUMN min_hold_days integer NOT NULL DEFAULT 0;

-- A customer is known from the first conversion on, which may be a lead.
ALTER TABLE tributary.customer_rows ALTER COLUMN first_sale_at DROP NOT NULL;
ALTER TABLE tributary.customer_rows ALTER COLUMN last_sale_at DROP NOT NULL;

CREATE OR REPLACE VIEW tributary.commissions AS
    SELECT c.commission_id, c.program_id, c.partner_id, c.sale_id, c.external_id, c.source, c.status, c.currency,
           c.gross_minor, c.reversed_minor, c.gross_minor - c.reversed_minor AS net_minor, c.created_at, c.updated_at,
           c.rule_id, c.rule_version, c.hold_until, c.holds, coalesce(c.uncapped_minor, c.gross_minor) AS uncapped_minor,
           c.origin, c.part, c.parts, c.share, c.share_of,
           (SELECT s.kind FROM tributary.sale_rows s WHERE s.sale_id = c.sale_id) AS conversion
    FROM tributary.commission_rows c;

-- Whoever counts sales counts sales: leads, sign-ups and clicks are in `conversions` only.
CREATE OR REPLACE VIEW tributary.sales AS
    SELECT sale_id, program_id, source, external_id, event_id, partner_id, reason, customer_id, subscription_id,
           currency, gross_minor, base_minor, occurred_at, created_at, updated_at, parts
    FROM tributary.sale_rows WHERE kind = 'sale';

CREATE VIEW tributary.conversions AS
    SELECT sale_id, program_id, kind, source, external_id, event_id, partner_id, reason, customer_id, subscription_id,
           currency, gross_minor, base_minor, parts, occurred_at, created_at, updated_at
    FROM tributary.sale_rows;

CREATE VIEW tributary.commission_holds AS
    SELECT c.program_id, c.partner_id, c.commission_id, h.hold, split_part(h.hold, ':', 1) AS kind,
           CASE WHEN strpos(h.hold, ':') > 0 THEN substr(h.hold, strpos(h.hold, ':') + 1) END AS name,
           c.status, c.currency, c.gross_minor - c.reversed_minor AS net_minor,
           CASE WHEN h.hold = 'time' THEN c.hold_until END AS ends_at
    FROM tributary.commission_rows c CROSS JOIN LATERAL unnest(c.holds) AS h (hold);

CREATE OR REPLACE VIEW tributary.programs AS
    SELECT program_id, account_id, name, mode, profile, currency, hold_days, click_window_days, manual_approval,
           created_at, updated_at, release_mode, min_hold_days
    FROM tributary.program_rows WHERE NOT removed;

COMMENT ON COLUMN tributary.commissions.commission_id IS 'Commission; derived from its sale, partner and part, or from the command that made it.';
COMMENT ON COLUMN tributary.commissions.sale_id IS 'Conversion record; see conversions. Empty: none, a person made it.';
COMMENT ON COLUMN tributary.commissions.external_id IS 'Id of the sale at its source; of another conversion its kind, a colon and the id; of a commission that a person made, the event''s.';
COMMENT ON COLUMN tributary.commissions.source IS 'Provider or dialect that brought the sale; adjustment: a person made it.';
COMMENT ON COLUMN tributary.commissions.gross_minor IS 'Amount at creation; below 0 where a person takes something. Minor units.';
COMMENT ON COLUMN tributary.commissions.reversed_minor IS 'Taken back by refunds, chargebacks or rejection so far; of what takes money all of it, until it is approved. Minor units.';
COMMENT ON COLUMN tributary.commissions.origin IS 'conversion, or what a person made it for: bonus, correction or debit.';
COMMENT ON COLUMN tributary.commissions.part IS 'Which part of a divided sale it is, from 1, the earliest touch first; null: the sale is not divided.';
COMMENT ON COLUMN tributary.commissions.parts IS 'Into how many parts the sale is divided; null: it is not.';
COMMENT ON COLUMN tributary.commissions.share IS 'Of a divided sale: this part''s weight, of share_of.';
COMMENT ON COLUMN tributary.commissions.share_of IS 'Of a divided sale: the sum of the weights of all parts; 1000000 where the sender gave parts per million.';
COMMENT ON COLUMN tributary.commissions.conversion IS 'sale, lead, signup or click; null: a person made it.';
COMMENT ON VIEW tributary.sales IS 'Conversion records of sales: every accepted sale, also without a partner or with a commission of 0.';
COMMENT ON COLUMN tributary.sales.parts IS 'Into how many partners'' parts what it earns is divided; 1: it is not.';
COMMENT ON VIEW tributary.conversions IS 'Every accepted sale, lead, sign-up and click, also without a partner or with a commission of 0.';
COMMENT ON COLUMN tributary.conversions.sale_id IS 'Conversion record.';
COMMENT ON COLUMN tributary.conversions.program_id IS 'Program.';
COMMENT ON COLUMN tributary.conversions.kind IS 'sale, lead, signup or click.';
COMMENT ON COLUMN tributary.conversions.source IS 'Provider or dialect.';
COMMENT ON COLUMN tributary.conversions.external_id IS 'Id at its source; of a lead, sign-up or click its kind, a colon and the id.';
COMMENT ON COLUMN tributary.conversions.event_id IS 'External event that brought it.';
COMMENT ON COLUMN tributary.conversions.partner_id IS 'Partner who earns, of several the first; null: nobody.';
COMMENT ON COLUMN tributary.conversions.reason IS 'Why nobody earns, or why the commission is 0.';
COMMENT ON COLUMN tributary.conversions.customer_id IS 'Customer (hex), if anybody is known.';
COMMENT ON COLUMN tributary.conversions.subscription_id IS 'Subscription at the source; empty: none.';
COMMENT ON COLUMN tributary.conversions.currency IS 'ISO 4217 code of its amounts; of what has none, what the sender or the program says.';
COMMENT ON COLUMN tributary.conversions.gross_minor IS 'What was paid, tax included; 0 for what is no sale. Minor units.';
COMMENT ON COLUMN tributary.conversions.base_minor IS 'What a percentage is computed on; 0 for what is no sale. Minor units.';
COMMENT ON COLUMN tributary.conversions.parts IS 'Into how many partners'' parts what it earns is divided; 1: it is not.';
COMMENT ON COLUMN tributary.conversions.occurred_at IS 'When it happened, by its source.';
COMMENT ON COLUMN tributary.conversions.created_at IS 'Log clock of its record.';
COMMENT ON COLUMN tributary.conversions.updated_at IS 'Log clock of its last change.';
COMMENT ON VIEW tributary.commission_holds IS 'What keeps each commission from being approved, one row per hold.';
COMMENT ON COLUMN tributary.commission_holds.program_id IS 'Program.';
COMMENT ON COLUMN tributary.commission_holds.partner_id IS 'Partner who earns the commission.';
COMMENT ON COLUMN tributary.commission_holds.commission_id IS 'Commission; see commissions.';
COMMENT ON COLUMN tributary.commission_holds.hold IS 'The whole name, as a release names it.';
COMMENT ON COLUMN tributary.commission_holds.kind IS 'time, manual, fraud, dispute, cancelled_subscription or partner_suspended.';
COMMENT ON COLUMN tributary.commission_holds.name IS 'What it is named after: the check, the dispute, the subscription; null: nothing.';
COMMENT ON COLUMN tributary.commission_holds.status IS 'Status of the commission.';
COMMENT ON COLUMN tributary.commission_holds.currency IS 'ISO 4217 code of net_minor.';
COMMENT ON COLUMN tributary.commission_holds.net_minor IS 'What is held. Minor units.';
COMMENT ON COLUMN tributary.commission_holds.ends_at IS 'When it ends by itself: of time only; null: an event or a person ends it.';
COMMENT ON VIEW tributary.customers IS 'Customers that conversions named, by opaque id. Identifiers of persons are never here.';
COMMENT ON COLUMN tributary.customers.partner_id IS 'Partner of the first attributed conversion; null: none yet.';
COMMENT ON COLUMN tributary.customers.first_sale_at IS 'Log clock of the first sale; null: none yet.';
COMMENT ON COLUMN tributary.customers.last_sale_at IS 'Log clock of the last sale; null: none yet.';
COMMENT ON VIEW tributary.sale_codes IS 'The referral code that a sale or another conversion named, whether it earned or not. Joins conversions by program_id, source and external_id.';
COMMENT ON COLUMN tributary.sale_codes.sale_external_id IS 'external_id of the conversion.';
COMMENT ON COLUMN tributary.programs.hold_days IS 'How long a commission is held before approval, in days; counted as release_mode says.';
COMMENT ON COLUMN tributary.programs.release_mode IS 'days: the time hold ends hold_days after the conversion; calendar: with the month in which that moment is, UTC.';
COMMENT ON COLUMN tributary.programs.min_hold_days IS 'At least so many days after the conversion was accepted.';
COMMENT ON COLUMN tributary.partners.active IS 'Earns new commissions; false: suspended, what is unpaid is held.';
