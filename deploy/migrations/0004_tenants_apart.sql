-- What a step may do across tenants shrinks to what it needs: without a tenant it puts due times off and nothing else,
-- with one it sees nobody else's. The release before claims, adds, and ends visits in just these ways.

ALTER TABLE dead_letters ADD UNIQUE (tenant_id, dead_letter_id);
ALTER TABLE orders
    ADD FOREIGN KEY (tenant_id, dead_letter_id) REFERENCES dead_letters (tenant_id, dead_letter_id);

CREATE FUNCTION refuse_more_than_a_claim() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN RAISE EXCEPTION 'only due_at moves without a tenant' USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE TRIGGER work_due_claimed BEFORE UPDATE ON work_due FOR EACH ROW
    WHEN (current_user = 'leadsaga_steps' AND current_tenant() IS NULL
        AND (OLD.weight, OLD.since, OLD.version) IS DISTINCT FROM (NEW.weight, NEW.since, NEW.version))
    EXECUTE FUNCTION refuse_more_than_a_claim();

ALTER POLICY steps ON work_due
    USING (tenant_id = (SELECT current_tenant()) OR (SELECT current_tenant()) IS NULL);
ALTER POLICY steps_claim ON work_due
    USING (tenant_id = (SELECT current_tenant()) OR (SELECT current_tenant()) IS NULL AND due_at <= now())
    WITH CHECK (tenant_id = (SELECT current_tenant())
        OR (SELECT current_tenant()) IS NULL AND due_at >= now() AND due_at <= now() + interval '1 hour');

-- Neither release's engine or steps have written there before.
ALTER POLICY engine ON audit WITH CHECK (actor = 'orchestrator');
ALTER POLICY steps ON audit WITH CHECK (tenant_id = (SELECT current_tenant()));

-- Without pg_temp at its end, a search path begins with it: a temporary table would take the place of ours.
DO $$
DECLARE
    pinned regprocedure;
BEGIN
    FOR pinned IN SELECT oid FROM pg_proc
        WHERE pronamespace = 'leadsaga'::regnamespace AND proconfig @> ARRAY['search_path=leadsaga']
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = leadsaga, pg_temp', pinned);
    END LOOP;
END $$;
