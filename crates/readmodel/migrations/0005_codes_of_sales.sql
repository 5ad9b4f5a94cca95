-- Which code a sale named, whether it earned or not: what conversion by code is counted from.
CREATE TABLE tributary.sale_code_rows (
    partition integer NOT NULL,
    seq bigint NOT NULL,
    ordinal integer NOT NULL,
    program_id text NOT NULL,
    source text NOT NULL,
    sale_external_id text NOT NULL,
    event_id text NOT NULL,
    code text NOT NULL,
    found_at text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, seq, ordinal)
);
CREATE INDEX sale_code_rows_sale ON tributary.sale_code_rows USING hash (sale_external_id);

CREATE VIEW tributary.sale_codes AS
    SELECT program_id, source, sale_external_id, code, found_at, event_id, recorded_at
    FROM tributary.sale_code_rows;

COMMENT ON VIEW tributary.sale_codes IS 'The referral code that a sale named, whether it earned or not. Joins sales by program_id, source and external_id.';
COMMENT ON COLUMN tributary.sale_codes.program_id IS 'Program.';
COMMENT ON COLUMN tributary.sale_codes.source IS 'Provider or dialect.';
COMMENT ON COLUMN tributary.sale_codes.sale_external_id IS 'Id of the sale at its source.';
COMMENT ON COLUMN tributary.sale_codes.code IS 'The code as sent; may be one that nobody has.';
COMMENT ON COLUMN tributary.sale_codes.found_at IS 'Where the event had it.';
COMMENT ON COLUMN tributary.sale_codes.event_id IS 'External event that brought it.';
COMMENT ON COLUMN tributary.sale_codes.recorded_at IS 'Log clock of that event.';
