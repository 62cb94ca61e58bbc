-- A bundle of commands locks and answers the rows of all its tenants at once. The release before goes on working: it
-- sets no such tenants, and works for one after the other.

CREATE FUNCTION bundle_tenants() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('leadsaga.bundle_tenants', true), '')::text[] $$;

CREATE POLICY bundle ON effects TO leadsaga_steps
    USING ((SELECT current_tenant()) IS NULL AND tenant_id = ANY ((SELECT bundle_tenants())::text[]))
    WITH CHECK ((SELECT current_tenant()) IS NULL AND tenant_id = ANY ((SELECT bundle_tenants())::text[]));

-- Whose row it is does not change, whoever may see it.
REVOKE UPDATE ON effects FROM leadsaga_steps;
GRANT UPDATE (state, attempt, started_at, starts, run, answered, answer, owed, outside, updated_at)
    ON effects TO leadsaga_steps;

-- A group of the orchestrator decides without locks, and writes what it decided in one statement, if nobody was faster.
CREATE FUNCTION expect_all(reached bigint, wanted int) RETURNS void
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        IF reached <> wanted THEN
            RAISE EXCEPTION 'rows are not as they were read' USING ERRCODE = 'serialization_failure';
        END IF;
    END $$;

-- Only that statement writes sagas or their logs, both together.
ALTER TABLE saga_log DROP CONSTRAINT saga_log_tenant_id_saga_id_fkey;
