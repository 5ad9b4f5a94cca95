-- Configuration as analysts ask for it, and what keeps a commission from being approved.
ALTER TABLE tributary.commission_rows ADD COLUMN holds text[] NOT NULL DEFAULT '{}';
ALTER TABLE tributary.commission_event_rows ADD COLUMN holds text[] NOT NULL DEFAULT '{}';

CREATE TABLE tributary.account_rows (
    account_id text PRIMARY KEY,
    name text NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE tributary.code_rows (
    program_id text NOT NULL,
    code text NOT NULL,
    partner_id text NOT NULL,
    active boolean NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, code)
);
-- `verify` reads every table by partition.
CREATE INDEX customer_rows_partition ON tributary.customer_rows (partition);
CREATE INDEX code_rows_partition ON tributary.code_rows (partition);

CREATE TABLE tributary.partner_coupon_rows (
    program_id text NOT NULL,
    coupon text NOT NULL,
    partner_id text NOT NULL,
    active boolean NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, coupon)
);
CREATE INDEX coupon_rows_partition ON tributary.partner_coupon_rows (partition);

-- Every version stays: commissions name the one that they froze.
CREATE TABLE tributary.rule_rows (
    program_id text NOT NULL,
    rule_id text NOT NULL,
    version integer NOT NULL,
    reward text NOT NULL CHECK (reward IN ('percent', 'flat')),
    rate_ppm bigint,
    amount_minor bigint,
    currency text,
    on_refund text,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, rule_id, version)
);

-- Secrets and hashes of keys are not here: no role that reads Postgres can learn them.
CREATE TABLE tributary.endpoint_rows (
    program_id text NOT NULL,
    endpoint_id text NOT NULL,
    provider text NOT NULL,
    secrets integer NOT NULL,
    tolerance_seconds integer NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, endpoint_id)
);

CREATE TABLE tributary.key_rows (
    program_id text NOT NULL,
    key_id text NOT NULL,
    account_id text NOT NULL,
    name text NOT NULL,
    mode text NOT NULL,
    publishable boolean NOT NULL,
    program_bound boolean NOT NULL,
    scopes text[] NOT NULL,
    expires_at timestamptz,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, key_id)
);

CREATE OR REPLACE VIEW tributary.commissions AS
    SELECT commission_id, program_id, partner_id, sale_id, external_id, source, status, currency, gross_minor,
           reversed_minor, gross_minor - reversed_minor AS net_minor, created_at, updated_at,
           rule_id, rule_version, hold_until, holds
    FROM tributary.commission_rows;

CREATE OR REPLACE VIEW tributary.commission_events AS
    SELECT commission_id, program_id, partner_id, sale_id, kind, status, currency, gross_minor, reversed_minor,
           delta_minor, postings, cause_event_id, reason, actor, recorded_at, partition, seq, ordinal, holds
    FROM tributary.commission_event_rows;

CREATE VIEW tributary.accounts AS
    SELECT account_id, name, created_at, updated_at FROM tributary.account_rows WHERE NOT removed;

CREATE VIEW tributary.codes AS
    SELECT program_id, code, partner_id, active, created_at, updated_at FROM tributary.code_rows WHERE NOT removed;

CREATE VIEW tributary.coupons AS
    SELECT program_id, coupon, partner_id, active, created_at, updated_at FROM tributary.partner_coupon_rows WHERE NOT removed;

CREATE VIEW tributary.rules AS
    SELECT r.program_id, r.rule_id, r.version, r.reward, r.rate_ppm, r.amount_minor, r.currency, r.on_refund,
           NOT EXISTS (
               SELECT FROM tributary.rule_rows n
               WHERE n.program_id = r.program_id AND n.rule_id = r.rule_id AND n.version > r.version
           ) AS latest,
           r.created_at, r.updated_at
    FROM tributary.rule_rows r WHERE NOT r.removed;

CREATE VIEW tributary.endpoints AS
    SELECT program_id, endpoint_id, provider, secrets, tolerance_seconds, created_at, updated_at
    FROM tributary.endpoint_rows WHERE NOT removed;

CREATE VIEW tributary.keys AS
    SELECT program_id, key_id, account_id, name, mode, publishable, program_bound, scopes, expires_at, created_at,
           updated_at
    FROM tributary.key_rows WHERE NOT removed;

COMMENT ON COLUMN tributary.commissions.holds IS 'What keeps it from being approved, sorted: time, dispute:<id>, cancelled_subscription:<id> and others. Empty: nothing.';
COMMENT ON COLUMN tributary.commission_events.holds IS 'What keeps the commission from being approved, after the event.';
COMMENT ON COLUMN tributary.commission_events.delta_minor IS 'Change of the net amount by the event: gross_minor when created, negative for a refund. Minor units.';
COMMENT ON COLUMN tributary.commissions.hold_until IS 'When the time hold ends, frozen at creation. Other holds end by an event: see holds.';
COMMENT ON COLUMN tributary.reversals.family IS 'refund, refund_total (everything refunded so far), chargeback, chargeback_reverse or chargeback_warning.';

COMMENT ON VIEW tributary.accounts IS 'Merchants. Each owns programs and keys.';
COMMENT ON COLUMN tributary.accounts.account_id IS 'Account.';
COMMENT ON COLUMN tributary.accounts.name IS 'Name shown to people.';
COMMENT ON COLUMN tributary.accounts.created_at IS 'Log clock of its creation.';
COMMENT ON COLUMN tributary.accounts.updated_at IS 'Log clock of its last change.';

COMMENT ON VIEW tributary.codes IS 'Referral codes, exact texts, with whom each earns for.';
COMMENT ON COLUMN tributary.codes.program_id IS 'Program.';
COMMENT ON COLUMN tributary.codes.code IS 'The code as a sale must carry it.';
COMMENT ON COLUMN tributary.codes.partner_id IS 'Partner who earns.';
COMMENT ON COLUMN tributary.codes.active IS 'Earns for new sales.';
COMMENT ON COLUMN tributary.codes.created_at IS 'Log clock of its creation.';
COMMENT ON COLUMN tributary.codes.updated_at IS 'Log clock of its last change.';

COMMENT ON VIEW tributary.coupons IS 'Coupons that earn for a partner, exact texts.';
COMMENT ON COLUMN tributary.coupons.program_id IS 'Program.';
COMMENT ON COLUMN tributary.coupons.coupon IS 'The text that a customer types.';
COMMENT ON COLUMN tributary.coupons.partner_id IS 'Partner who earns.';
COMMENT ON COLUMN tributary.coupons.active IS 'Earns for new sales.';
COMMENT ON COLUMN tributary.coupons.created_at IS 'Log clock of its creation.';
COMMENT ON COLUMN tributary.coupons.updated_at IS 'Log clock of its last change.';

COMMENT ON VIEW tributary.rules IS 'Commission rules, one row per version: commissions freeze the version of their creation.';
COMMENT ON COLUMN tributary.rules.program_id IS 'Program.';
COMMENT ON COLUMN tributary.rules.rule_id IS 'Rule.';
COMMENT ON COLUMN tributary.rules.version IS 'Version: 1, 2, 3, …';
COMMENT ON COLUMN tributary.rules.reward IS 'percent (of the base) or flat (the same amount for each sale).';
COMMENT ON COLUMN tributary.rules.rate_ppm IS 'percent: rate in parts per million, 200000 is 20%; null when flat.';
COMMENT ON COLUMN tributary.rules.amount_minor IS 'flat: the amount. Minor units; null when percent.';
COMMENT ON COLUMN tributary.rules.currency IS 'flat: ISO 4217 code of the amount, and of the commission; null when percent.';
COMMENT ON COLUMN tributary.rules.on_refund IS 'flat: what a refund takes back: full_only, proportional or any; null when percent.';
COMMENT ON COLUMN tributary.rules.latest IS 'No later version of the rule is known.';
COMMENT ON COLUMN tributary.rules.created_at IS 'Log clock of the version''s creation.';
COMMENT ON COLUMN tributary.rules.updated_at IS 'Log clock of its last change.';

COMMENT ON VIEW tributary.endpoints IS 'Where providers send webhooks. Secrets are never in Postgres.';
COMMENT ON COLUMN tributary.endpoints.program_id IS 'Program.';
COMMENT ON COLUMN tributary.endpoints.endpoint_id IS 'Endpoint.';
COMMENT ON COLUMN tributary.endpoints.provider IS 'Provider that sends there.';
COMMENT ON COLUMN tributary.endpoints.secrets IS 'Number of live signing secrets; more than one during a rotation.';
COMMENT ON COLUMN tributary.endpoints.tolerance_seconds IS 'Age of a signature that is tolerated; 0: the provider''s default.';
COMMENT ON COLUMN tributary.endpoints.created_at IS 'Log clock of its creation.';
COMMENT ON COLUMN tributary.endpoints.updated_at IS 'Log clock of its last change.';

COMMENT ON VIEW tributary.keys IS 'API keys by name. Neither keys nor their hashes are in Postgres.';
COMMENT ON COLUMN tributary.keys.program_id IS 'Home program of the key; for a key of a whole account, the account''s id.';
COMMENT ON COLUMN tributary.keys.key_id IS 'Names the key without being it.';
COMMENT ON COLUMN tributary.keys.account_id IS 'Account it speaks for.';
COMMENT ON COLUMN tributary.keys.name IS 'Name shown to people.';
COMMENT ON COLUMN tributary.keys.mode IS 'live or test.';
COMMENT ON COLUMN tributary.keys.publishable IS 'May only report; safe in a browser.';
COMMENT ON COLUMN tributary.keys.program_bound IS 'Speaks for its home program only.';
COMMENT ON COLUMN tributary.keys.scopes IS 'What it may do; empty: everything that its kind may.';
COMMENT ON COLUMN tributary.keys.expires_at IS 'Refused from then on; null: never.';
COMMENT ON COLUMN tributary.keys.created_at IS 'Log clock of its creation.';
COMMENT ON COLUMN tributary.keys.updated_at IS 'Log clock of its last change.';
