-- What rules decide by, and what caps took. Only where a cap limited a commission is there another amount than the gross one, so
-- that rows from before caps need no change.
ALTER TABLE tributary.commission_rows ADD COLUMN uncapped_minor bigint;

ALTER TABLE tributary.rule_rows DROP CONSTRAINT rule_rows_reward_check;
ALTER TABLE tributary.rule_rows ADD CONSTRAINT rule_rows_reward_check CHECK (reward IN ('percent', 'flat', 'tiers'));
ALTER TABLE tributary.rule_rows ADD COLUMN priority integer NOT NULL DEFAULT 0;

ALTER TABLE tributary.partner_rows ADD COLUMN partner_group text NOT NULL DEFAULT '';

CREATE OR REPLACE VIEW tributary.commissions AS
    SELECT commission_id, program_id, partner_id, sale_id, external_id, source, status, currency, gross_minor,
           reversed_minor, gross_minor - reversed_minor AS net_minor, created_at, updated_at,
           rule_id, rule_version, hold_until, holds, coalesce(uncapped_minor, gross_minor) AS uncapped_minor
    FROM tributary.commission_rows;

CREATE OR REPLACE VIEW tributary.rules AS
    SELECT r.program_id, r.rule_id, r.version, r.reward, r.rate_ppm, r.amount_minor, r.currency, r.on_refund,
           NOT EXISTS (
               SELECT FROM tributary.rule_rows n
               WHERE n.program_id = r.program_id AND n.rule_id = r.rule_id AND n.version > r.version
           ) AS latest,
           r.created_at, r.updated_at, r.priority
    FROM tributary.rule_rows r WHERE NOT r.removed;

CREATE OR REPLACE VIEW tributary.partners AS
    SELECT program_id, partner_id, name, active, created_at, updated_at, nullif(partner_group, '') AS partner_group
    FROM tributary.partner_rows WHERE NOT removed;

COMMENT ON COLUMN tributary.commissions.uncapped_minor IS 'What gross_minor would have been without caps; the same where none limited it. Minor units.';
COMMENT ON COLUMN tributary.rules.reward IS 'percent (of the base), flat (the same amount for each sale) or tiers (percentages by what the partner has brought).';
COMMENT ON COLUMN tributary.rules.rate_ppm IS 'percent: rate in parts per million, 200000 is 20%; null when flat or tiers.';
COMMENT ON COLUMN tributary.rules.amount_minor IS 'flat: the amount; 0 excludes what the rule matches. Minor units; null otherwise.';
COMMENT ON COLUMN tributary.rules.currency IS 'flat: ISO 4217 code of the amount, and of the commission; null otherwise.';
COMMENT ON COLUMN tributary.rules.on_refund IS 'flat: what a refund takes back: full_only, proportional or any; null otherwise.';
COMMENT ON COLUMN tributary.rules.priority IS 'Higher comes first.';
COMMENT ON COLUMN tributary.partners.partner_group IS 'Group that rules may ask for; null: none.';
