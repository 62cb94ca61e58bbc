-- The audit becomes a chain, and what is secret is sealed. The release before goes on working: it still writes webhooks
-- in the clear, which count as the newer ones, and its rows of the audit are linked by the trigger like all others.

CREATE TABLE secret_keys (
    key_id      text PRIMARY KEY CHECK (key_id ~ '^[0-9a-f]{16}$'),
    created_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON secret_keys TO leadsaga_steps;
GRANT SELECT, INSERT, DELETE ON secret_keys TO leadsaga_operator;

ALTER TABLE discord_webhooks
    ALTER COLUMN url DROP NOT NULL,
    ADD COLUMN sealed bytea,
    ADD COLUMN sealed_by text REFERENCES secret_keys,
    ADD CHECK (url IS NOT NULL OR sealed IS NOT NULL),
    ADD CHECK ((sealed IS NULL) = (sealed_by IS NULL));

ALTER TABLE audit ADD COLUMN written_by text;
ALTER TABLE audit ALTER COLUMN written_by SET DEFAULT current_user;
CREATE INDEX audit_of_tenant ON audit (tenant_id, audit_id);

CREATE TABLE audit_chain (
    link      bigint PRIMARY KEY CHECK (link > 0),
    audit_id  bigint NOT NULL UNIQUE REFERENCES audit,
    hash      bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE TABLE audit_head (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    link      bigint NOT NULL DEFAULT 0,
    hash      bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
);
INSERT INTO audit_head DEFAULT VALUES;

CREATE FUNCTION audit_content(entry audit) RETURNS text
    LANGUAGE sql STABLE SET search_path = leadsaga, pg_temp
    AS $$
    SELECT jsonb_build_array(entry.audit_id, (extract(epoch FROM entry.at) * 1000000)::bigint, entry.actor, entry.action,
        entry.tenant_id, entry.saga_id, entry.reason, entry.before, entry.after, entry.written_by)::text
    $$;

CREATE FUNCTION link_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = leadsaga, pg_temp
    AS $$
DECLARE
    head audit_head;
BEGIN
    UPDATE audit_head SET link = link + 1, hash = sha256(hash || convert_to(audit_content(NEW), 'UTF8'))
        RETURNING * INTO STRICT head;
    INSERT INTO audit_chain (link, audit_id, hash) VALUES (head.link, NEW.audit_id, head.hash);
    RETURN NULL;
END $$;

-- What is there already is linked in its order. The owner of the table is under its policies, too, and has none.
ALTER TABLE audit NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    entry audit;
    head audit_head;
BEGIN
    FOR entry IN SELECT * FROM audit ORDER BY audit_id LOOP
        UPDATE audit_head SET link = link + 1, hash = sha256(hash || convert_to(audit_content(entry), 'UTF8'))
            RETURNING * INTO STRICT head;
        INSERT INTO audit_chain (link, audit_id, hash) VALUES (head.link, entry.audit_id, head.hash);
    END LOOP;
END $$;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;

CREATE CONSTRAINT TRIGGER audit_linked AFTER INSERT ON audit
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION link_audit();
CREATE TRIGGER chain_append_only BEFORE UPDATE OR DELETE ON audit_chain FOR EACH ROW EXECUTE FUNCTION refuse_change();

REVOKE INSERT ON audit FROM leadsaga_engine, leadsaga_steps, leadsaga_operator;
GRANT INSERT (actor, action, tenant_id, saga_id, reason, before, after) ON audit
    TO leadsaga_engine, leadsaga_steps, leadsaga_operator;
GRANT SELECT ON audit_chain, audit_head TO leadsaga_operator;
