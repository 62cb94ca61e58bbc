-- Tenants are added by a saga, which belongs to the administration: a tenant of ours with nothing to sell. The release
-- before goes on working: it takes a tenant that is still being added for a suspended one, and leaves its saga alone.

ALTER TABLE tenants
    ADD COLUMN provisioned_by uuid,
    DROP CONSTRAINT tenants_status_check,
    ADD CONSTRAINT tenants_status_check CHECK (status IN ('provisioning', 'active', 'suspended')),
    ADD CHECK (status <> 'provisioning' OR provisioned_by IS NOT NULL);

INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota, billing) VALUES ('administration', 0, 'usd', 0, 'manual');
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;  -- nobody may add a tenant but operators, not even the owner
INSERT INTO tenants (tenant_id, name, plan_id) VALUES ('administration', 'Administration', 'administration');
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;

CREATE TABLE feature_flags (
    tenant_id  text NOT NULL REFERENCES tenants,
    flag       text NOT NULL CHECK (flag ~ '^[a-z][a-z0-9_]{0,39}$'),
    enabled    boolean NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, flag)
);

ALTER TABLE notices
    ALTER COLUMN saga_id DROP NOT NULL,
    DROP CONSTRAINT notices_event_check,
    ADD CONSTRAINT notices_event_check CHECK (event IN ('completed', 'failed', 'parked', 'refunded', 'welcome')),
    ADD CHECK ((saga_id IS NULL) = (event = 'welcome'));

CREATE INDEX model_calls_begun ON model_calls (tenant_id, started_at) WHERE outcome = 'begun';

GRANT DELETE, INSERT (tenant_id, name, status, plan_id, sagas_in_flight, model_calls, provisioned_by),
    UPDATE (status, stripe_customer) ON tenants TO leadsaga_steps;
GRANT INSERT, DELETE ON discord_webhooks TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE, DELETE ON feature_flags TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE ON feature_flags TO leadsaga_operator;
GRANT SELECT ON feature_flags TO leadsaga_reader;
ALTER TABLE feature_flags ENABLE ROW LEVEL SECURITY;
ALTER TABLE feature_flags FORCE ROW LEVEL SECURITY;

CREATE POLICY steps_store ON tenants FOR INSERT TO leadsaga_steps
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND status = 'provisioning');
CREATE POLICY steps_activate ON tenants FOR UPDATE TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant()) AND status = 'provisioning')
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND status IN ('provisioning', 'active'));
CREATE POLICY steps_remove ON tenants FOR DELETE TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant()) AND status = 'provisioning');
CREATE POLICY steps ON feature_flags TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON feature_flags TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON feature_flags FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
