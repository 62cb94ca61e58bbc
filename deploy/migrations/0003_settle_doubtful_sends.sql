-- Doubtful sends are settled by Stripe's own totals, tenants that Stripe refuses are flagged, and the processes share
-- a limit of calls. The release before goes on working: it leaves an ambiguous send alone, as it always did, and
-- knows what replaces one as a send like any other.

ALTER TABLE intents
    ADD COLUMN absence_observed_at timestamptz,
    ADD COLUMN replaces uuid,
    ADD UNIQUE (tenant_id, replaces),
    ADD FOREIGN KEY (tenant_id, replaces) REFERENCES intents,
    ADD CHECK (state <> 'missing' OR coalesce(settled_at - absence_observed_at >= interval '24 hours', false));

CREATE FUNCTION refuse_other_carrier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        PERFORM FROM intents made JOIN intents gone ON gone.tenant_id = made.tenant_id AND gone.intent_id = made.replaces
            WHERE made.tenant_id = NEW.tenant_id AND made.intent_id = NEW.intent_id
                AND gone.intent_id = OLD.intent_id AND gone.state = 'missing';
        IF NOT FOUND OR (NEW.tenant_id, NEW.ledger_id) <> (OLD.tenant_id, OLD.ledger_id) THEN
            RAISE EXCEPTION 'a ledger row keeps its carrier' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER carriers_follow_replacements BEFORE UPDATE ON carriers
    FOR EACH ROW EXECUTE FUNCTION refuse_other_carrier();
GRANT UPDATE (intent_id) ON carriers TO leadsaga_steps;

CREATE TABLE billing_flags (
    tenant_id   text PRIMARY KEY REFERENCES tenants,
    intent_id   uuid NOT NULL,
    reason      text NOT NULL,
    flagged_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, intent_id) REFERENCES intents
);
GRANT SELECT, INSERT, UPDATE, DELETE ON billing_flags TO leadsaga_steps;
GRANT SELECT ON billing_flags TO leadsaga_operator, leadsaga_reader;
ALTER TABLE billing_flags ENABLE ROW LEVEL SECURITY;
ALTER TABLE billing_flags FORCE ROW LEVEL SECURITY;
CREATE POLICY steps ON billing_flags TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON billing_flags FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY reader ON billing_flags FOR SELECT TO leadsaga_reader USING (true);

CREATE TABLE vendor_turns (
    bucket   text PRIMARY KEY,
    next_at  timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON vendor_turns TO leadsaga_steps;
ALTER TABLE vendor_turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE vendor_turns FORCE ROW LEVEL SECURITY;
CREATE POLICY steps ON vendor_turns TO leadsaga_steps USING (true) WITH CHECK (true);
