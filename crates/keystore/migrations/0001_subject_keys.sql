-- Keys of persons. A row is written once; the only change is that its key is destroyed.
CREATE TABLE subject_keys (
    subject bytea PRIMARY KEY CHECK (octet_length(subject) = 16),
    key_id bytea CHECK (octet_length(key_id) = 16),
    key bytea CHECK (octet_length(key) = 64),
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    -- A key, or a tombstone.
    CHECK ((key IS NULL) = (destroyed_at IS NOT NULL)),
    CHECK ((key IS NULL) = (key_id IS NULL))
);

-- What is overwritten shall not lie about: dead rows go with the next round of autovacuum, whatever the table's size.
ALTER TABLE subject_keys SET (
    autovacuum_vacuum_threshold = 0,
    autovacuum_vacuum_scale_factor = 0
);

-- The installation's key for identifier indexes: one row, made once.
CREATE TABLE installation (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    index_key bytea NOT NULL CHECK (octet_length(index_key) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Rules that no client may break, whatever its rights: nothing replaces a tombstone, nothing changes a key.
CREATE FUNCTION keep_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'subject_keys' AND TG_OP = 'UPDATE' THEN
        IF OLD.subject = NEW.subject AND OLD.created_at = NEW.created_at
            AND OLD.key IS NOT NULL AND NEW.key IS NULL THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'tributary: keys are never changed or deleted, only destroyed (%.% %)',
        TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP;
END;
$$;

CREATE TRIGGER keep_keys BEFORE UPDATE OR DELETE ON subject_keys
    FOR EACH ROW EXECUTE FUNCTION keep_keys();
CREATE TRIGGER keep_all_keys BEFORE TRUNCATE ON subject_keys
    FOR EACH STATEMENT EXECUTE FUNCTION keep_keys();
CREATE TRIGGER keep_index_key BEFORE UPDATE OR DELETE ON installation
    FOR EACH ROW EXECUTE FUNCTION keep_keys();
CREATE TRIGGER keep_all_installation BEFORE TRUNCATE ON installation
    FOR EACH STATEMENT EXECUTE FUNCTION keep_keys();
