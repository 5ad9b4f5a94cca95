-- The read model: what the projector writes and analysts read. Everything here can be dropped and projected again.
--
-- Tables end in `_rows` and may change with any version; the views at the end are the contract and only grow.
-- Amounts are integer minor units (bigint). Moments come from the log's clock, so a rebuild gives the same rows.
-- Texts of unbounded length are indexed by hash: a b-tree entry has a size limit that an attacker could reach.
CREATE SCHEMA IF NOT EXISTS tributary;

-- Microseconds since 1970 as a moment. A whole number times one microsecond is exact.
CREATE FUNCTION tributary.moment(micros bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT timestamptz '1970-01-01 00:00:00+00' + micros * interval '1 microsecond' $$;

-- How far the projector has come: whole cursors, never an offset alone.
CREATE TABLE tributary.cursor_rows (
    generation integer NOT NULL,
    topic text NOT NULL CHECK (topic IN ('facts', 'commissions')),
    partition integer NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL,
    anchor bytea NOT NULL,
    epoch bigint NOT NULL,
    writer bytea NOT NULL,
    seq bigint NOT NULL,
    head bytea NOT NULL,
    logic_version integer NOT NULL,
    clock_micros bigint NOT NULL,
    PRIMARY KEY (generation, topic, partition)
);

-- From `facts`.
CREATE TABLE tributary.verdict_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    position bigint NOT NULL,
    program_id text NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL,
    delivery_key text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('applied', 'duplicate', 'ignored', 'quarantined')),
    reason text NOT NULL,
    detail text NOT NULL,
    retry_of bigint,
    received_at timestamptz NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX verdict_rows_event ON tributary.verdict_rows (event_id);
CREATE INDEX verdict_rows_delivery_key ON tributary.verdict_rows USING hash (delivery_key);
CREATE INDEX verdict_rows_quarantined ON tributary.verdict_rows (partition, seq) WHERE verdict = 'quarantined';
CREATE INDEX verdict_rows_retry ON tributary.verdict_rows (partition, retry_of) WHERE retry_of IS NOT NULL;

CREATE TABLE tributary.program_rows (
    program_id text PRIMARY KEY,
    account_id text NOT NULL,
    name text NOT NULL,
    mode text NOT NULL,
    profile text NOT NULL,
    currency text NOT NULL,
    hold_days integer NOT NULL,
    click_window_days integer NOT NULL,
    manual_approval boolean NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE tributary.partner_rows (
    program_id text NOT NULL,
    partner_id text NOT NULL,
    name text NOT NULL,
    active boolean NOT NULL,
    removed boolean NOT NULL,
    partition integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, partner_id)
);

-- From `commissions`.
CREATE TABLE tributary.sale_rows (
    sale_id text PRIMARY KEY,
    program_id text NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL,
    event_id text NOT NULL,
    partner_id text,
    reason text NOT NULL,
    customer_id text,
    subscription_id text NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL,
    base_minor bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    partition integer NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX sale_rows_external_id ON tributary.sale_rows USING hash (external_id);
CREATE INDEX sale_rows_event ON tributary.sale_rows (event_id);
CREATE INDEX sale_rows_program ON tributary.sale_rows (program_id, created_at);
CREATE INDEX sale_rows_partition ON tributary.sale_rows (partition);

CREATE TABLE tributary.reversal_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    program_id text NOT NULL,
    source text NOT NULL,
    sale_external_id text NOT NULL,
    object_id text NOT NULL,
    event_id text NOT NULL,
    family text NOT NULL,
    state text NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL,
    net_minor bigint,
    result text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX reversal_rows_object ON tributary.reversal_rows USING hash (object_id);
CREATE INDEX reversal_rows_sale ON tributary.reversal_rows USING hash (sale_external_id);
CREATE INDEX reversal_rows_event ON tributary.reversal_rows (event_id);

CREATE TABLE tributary.commission_rows (
    commission_id text PRIMARY KEY,
    program_id text NOT NULL,
    partner_id text NOT NULL,
    sale_id text NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL,
    reversed_minor bigint NOT NULL,
    rule_id text NOT NULL,
    rule_version integer NOT NULL,
    hold_until timestamptz,
    partition integer NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX commission_rows_sale ON tributary.commission_rows (sale_id);
CREATE INDEX commission_rows_partner ON tributary.commission_rows (program_id, partner_id, created_at);
CREATE INDEX commission_rows_partition ON tributary.commission_rows (partition);

CREATE TABLE tributary.commission_event_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    commission_id text NOT NULL,
    program_id text NOT NULL,
    partner_id text NOT NULL,
    sale_id text NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL,
    reversed_minor bigint NOT NULL,
    delta_minor bigint NOT NULL,
    postings jsonb NOT NULL,
    cause_event_id text,
    reason text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX commission_event_rows_commission ON tributary.commission_event_rows (commission_id);

CREATE TABLE tributary.balance_rows (
    program_id text NOT NULL,
    partner_id text NOT NULL,
    currency text NOT NULL,
    pending bigint NOT NULL,
    review bigint NOT NULL,
    available bigint NOT NULL,
    in_flight bigint NOT NULL,
    paid_out bigint NOT NULL,
    debt bigint NOT NULL,
    partition integer NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, partner_id, currency)
);

CREATE TABLE tributary.customer_rows (
    program_id text NOT NULL,
    customer_id text NOT NULL,
    partner_id text,
    sales bigint NOT NULL,
    partition integer NOT NULL,
    first_sale_at timestamptz NOT NULL,
    last_sale_at timestamptz NOT NULL,
    PRIMARY KEY (program_id, customer_id)
);

-- Inputs that a service could not decide because of a defect: parked until retried.
CREATE TABLE tributary.parked_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    position bigint NOT NULL,
    detail text NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq)
);

-- What analysts read.
CREATE VIEW tributary.balances AS
    SELECT program_id, partner_id, currency, pending, review, available, in_flight, paid_out, debt, updated_at
    FROM tributary.balance_rows;

CREATE VIEW tributary.commissions AS
    SELECT commission_id, program_id, partner_id, sale_id, external_id, source, status, currency, gross_minor,
           reversed_minor, gross_minor - reversed_minor AS net_minor, created_at, updated_at,
           rule_id, rule_version, hold_until
    FROM tributary.commission_rows;

CREATE VIEW tributary.commission_events AS
    SELECT commission_id, program_id, partner_id, sale_id, kind, status, currency, gross_minor, reversed_minor,
           delta_minor, postings, cause_event_id, reason, actor, recorded_at, partition, seq, ordinal
    FROM tributary.commission_event_rows;

CREATE VIEW tributary.sales AS
    SELECT sale_id, program_id, source, external_id, event_id, partner_id, reason, customer_id, subscription_id,
           currency, gross_minor, base_minor, occurred_at, created_at, updated_at
    FROM tributary.sale_rows;

CREATE VIEW tributary.reversals AS
    SELECT r.program_id, r.source, r.sale_external_id, r.object_id, r.event_id, r.family, r.state, r.currency,
           r.gross_minor, r.net_minor, r.result,
           r.result = 'parked' AND NOT EXISTS (
               SELECT FROM tributary.sale_rows s
               WHERE s.external_id = r.sale_external_id AND s.program_id = r.program_id AND s.source = r.source
           ) AS waiting,
           r.recorded_at, r.partition, r.seq, r.ordinal
    FROM tributary.reversal_rows r;

CREATE VIEW tributary.customers AS
    SELECT program_id, customer_id, partner_id, sales, first_sale_at, last_sale_at FROM tributary.customer_rows;

CREATE VIEW tributary.programs AS
    SELECT program_id, account_id, name, mode, profile, currency, hold_days, click_window_days, manual_approval,
           created_at, updated_at
    FROM tributary.program_rows WHERE NOT removed;

CREATE VIEW tributary.partners AS
    SELECT program_id, partner_id, name, active, created_at, updated_at
    FROM tributary.partner_rows WHERE NOT removed;

CREATE VIEW tributary.verdicts AS
    SELECT program_id, event_id, source, delivery_key, verdict, reason, detail, retry_of IS NOT NULL AS retry,
           received_at, decided_at, position, partition, seq
    FROM tributary.verdict_rows;

-- A quarantined event leaves when a retry of it has a verdict (the retry then speaks for it) or when the same event, sent
-- again, was applied. A conflict stays: the event that it contradicts is applied, and says nothing about it.
CREATE VIEW tributary.quarantine AS
    SELECT q.program_id, q.event_id, q.source, q.delivery_key, q.reason, q.detail, q.received_at,
           q.decided_at AS quarantined_at, coalesce(q.retry_of, q.position) AS position, q.partition,
           'normalizer'::text AS service
    FROM tributary.verdict_rows q
    WHERE q.verdict = 'quarantined'
      AND NOT EXISTS (
          SELECT FROM tributary.verdict_rows r
          WHERE r.partition = q.partition AND r.retry_of = coalesce(q.retry_of, q.position) AND r.seq > q.seq)
      AND (q.reason = 'conflict' OR NOT EXISTS (
          SELECT FROM tributary.verdict_rows a
          WHERE a.event_id = q.event_id AND a.verdict = 'applied' AND a.partition = q.partition AND a.seq > q.seq))
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, 'defect', p.detail, NULL, p.parked_at, p.position, p.partition, 'commission'
    FROM tributary.parked_rows p;

CREATE VIEW tributary.freshness AS
    SELECT topic, partition, seq, tributary.moment(clock_micros) AS as_of
    FROM tributary.cursor_rows
    WHERE generation = 1 AND seq > 0;
