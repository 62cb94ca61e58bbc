-- Plans have terms with dates, some are billed by hand, and the books are compared. The release before goes on working:
-- it sells by the terms that a plan begins with, so set later ones, and plans that are billed by hand, once it is gone.

-- All that is changed is locked together, or nothing of it: who is at work holds some and will want others, and must
-- not wait for a migration that waits for it.
DO $$
DECLARE
    patience text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    LOOP
        BEGIN
            LOCK TABLE tenants, plans, sagas, work_due, quota_periods, holds, ledger, intents IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END $$;

ALTER TABLE plans
    ADD COLUMN billing text NOT NULL DEFAULT 'metered' CHECK (billing IN ('metered', 'manual')),
    ADD COLUMN stripe_price text;

CREATE TABLE plan_terms (
    plan_id         text NOT NULL REFERENCES plans,
    valid_from      timestamptz NOT NULL CHECK (isfinite(valid_from)),
    price_per_lead  numeric(12, 4) NOT NULL CHECK (price_per_lead >= 0 AND price_per_lead <> 'NaN'),
    currency        text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    monthly_quota   int NOT NULL CHECK (monthly_quota >= 0),
    overage         boolean NOT NULL,
    event_name      text NOT NULL,
    billing         text NOT NULL CHECK (billing IN ('metered', 'manual')),
    stripe_price    text,
    PRIMARY KEY (plan_id, valid_from)
);
GRANT SELECT ON plan_terms TO leadsaga_steps, leadsaga_reader;
GRANT SELECT, INSERT ON plan_terms TO leadsaga_operator;

CREATE FUNCTION terms_at(plan text, at timestamptz) RETURNS SETOF plan_terms
    LANGUAGE sql STABLE SET search_path = leadsaga, pg_temp
    AS $$
    SELECT plan_id, valid_from, price_per_lead, currency, monthly_quota, overage, event_name, billing, stripe_price
    FROM (
        SELECT * FROM plan_terms WHERE plan_id = plan AND valid_from <= at
        UNION ALL
        SELECT plan_id, '-infinity', price_per_lead, currency, monthly_quota, overage, event_name, billing, stripe_price
        FROM plans WHERE plan_id = plan
    ) AS said
    ORDER BY valid_from DESC LIMIT 1
    $$;

CREATE TABLE exchange_rates (
    currency    text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    valid_from  date NOT NULL,
    usd         numeric(18, 9) NOT NULL CHECK (usd > 0 AND usd <> 'NaN'),
    PRIMARY KEY (currency, valid_from)
);
GRANT SELECT ON exchange_rates TO leadsaga_reader;
GRANT SELECT, INSERT, UPDATE ON exchange_rates TO leadsaga_operator;

ALTER TABLE work_due DROP CONSTRAINT work_due_kind_check;
ALTER TABLE work_due ADD CONSTRAINT work_due_kind_check CHECK (kind IN ('flush', 'notices', 'reconcile'));

CREATE FUNCTION begin_reconciling() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        INSERT INTO work_due (kind, tenant_id, due_at) VALUES ('reconcile', NEW.tenant_id, now()) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
CREATE TRIGGER quota_begins_reconciling AFTER INSERT ON quota_periods
    FOR EACH ROW EXECUTE FUNCTION begin_reconciling();

CREATE INDEX holds_held ON holds (tenant_id, saga_id) WHERE state = 'held';
ALTER TABLE ledger ADD COLUMN billing text NOT NULL DEFAULT 'metered' CHECK (billing IN ('metered', 'manual'));
CREATE OR REPLACE FUNCTION refuse_excess_reversal() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$
DECLARE
    original ledger;
    taken_back int;
BEGIN
    SELECT * INTO original FROM ledger
        WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.original_id AND kind = 'usage'
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a reversal points at a usage row of its own tenant' USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT coalesce(-sum(leads), 0) INTO taken_back FROM ledger
        WHERE tenant_id = NEW.tenant_id AND original_id = NEW.original_id;
    IF taken_back - NEW.leads > original.leads THEN
        RAISE EXCEPTION 'reversals would exceed the usage of % leads', original.leads USING ERRCODE = 'check_violation';
    END IF;
    NEW.billing := original.billing;
    RETURN NEW;
END $$;
ALTER TABLE intents DROP CONSTRAINT intents_state_check;
ALTER TABLE intents ADD CONSTRAINT intents_state_check CHECK (state IN (
    'pending', 'sending', 'confirmed', 'ambiguous', 'missing', 'rejected', 'manual'));
CREATE INDEX intents_of_period ON intents (tenant_id, period_start);

CREATE TABLE reconciliations (
    tenant_id     text NOT NULL REFERENCES tenants,
    event_name    text NOT NULL,
    period_start  timestamptz NOT NULL,
    compared_at   timestamptz NOT NULL,
    ledger        int NOT NULL,
    told          int NOT NULL,
    under_way     int NOT NULL,
    refused       int NOT NULL,
    by_hand       int NOT NULL,
    credited      int NOT NULL,
    counted       bigint,
    behind        boolean NOT NULL DEFAULT false,
    invoiced      bigint,
    charged       bigint,
    owed          bigint,
    currency      text,
    unread        text,
    PRIMARY KEY (tenant_id, event_name, period_start)
);

CREATE TABLE findings (
    tenant_id      text NOT NULL REFERENCES tenants,
    finding_id     uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN (
        'delivered',
        'carried',
        'stuck',
        'counted',
        'invoiced',
        'charged',
        'held'
    )),
    subject        text NOT NULL,
    expected       bigint NOT NULL,
    found          bigint NOT NULL,
    reason         text NOT NULL,
    sagas          uuid[] NOT NULL DEFAULT '{}',
    first_seen_at  timestamptz NOT NULL DEFAULT now(),
    last_seen_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at    timestamptz,
    PRIMARY KEY (tenant_id, finding_id)
);
CREATE UNIQUE INDEX findings_open ON findings (tenant_id, kind, subject) WHERE resolved_at IS NULL;

CREATE VIEW revenue_by_day WITH (security_invoker = true) AS
SELECT tenant_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, currency, billing,
    coalesce(sum(leads) FILTER (WHERE kind = 'usage'), 0)::bigint AS delivered,
    coalesce(-sum(leads) FILTER (WHERE kind = 'reversal'), 0)::bigint AS refunded,
    sum(leads * unit_price) AS revenue
FROM ledger GROUP BY 1, 2, 3, 4;

CREATE VIEW model_cost_by_day WITH (security_invoker = true) AS
SELECT tenant_id, (started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS calls,
    count(*) FILTER (WHERE outcome <> 'answered') AS failed_calls,
    count(*) FILTER (WHERE cost_usd IS NULL) AS unpriced_calls,
    coalesce(sum(input_tokens), 0)::bigint AS input_tokens, coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(cost_usd), 0) AS cost_usd
FROM model_calls GROUP BY 1, 2;

CREATE VIEW margin_by_day WITH (security_invoker = true) AS
WITH sold AS (
    SELECT r.tenant_id, r.day, sum(r.delivered - r.refunded)::bigint AS leads,
        CASE WHEN count(*) = count(coalesce(x.usd, CASE r.currency WHEN 'usd' THEN 1 END))
             THEN sum(r.revenue * coalesce(x.usd, 1)) END AS revenue_usd
    FROM revenue_by_day r LEFT JOIN LATERAL (
        SELECT e.usd FROM exchange_rates e WHERE e.currency = r.currency AND e.valid_from <= r.day
        ORDER BY e.valid_from DESC LIMIT 1) AS x ON true
    GROUP BY 1, 2
)
SELECT tenant_id, day, coalesce(s.leads, 0) AS leads,
    CASE WHEN s.day IS NULL THEN 0 ELSE s.revenue_usd END AS revenue_usd,
    coalesce(c.calls, 0) AS calls, coalesce(c.failed_calls, 0) AS failed_calls,
    coalesce(c.unpriced_calls, 0) AS unpriced_calls, coalesce(c.cost_usd, 0) AS cost_usd,
    CASE WHEN s.day IS NULL THEN 0 ELSE s.revenue_usd END - coalesce(c.cost_usd, 0) AS margin_usd
FROM sold s FULL JOIN model_cost_by_day c USING (tenant_id, day);

GRANT SELECT (tenant_id, saga_id, status, created_at) ON sagas TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE ON reconciliations, findings TO leadsaga_steps;
GRANT SELECT ON reconciliations, findings, revenue_by_day, model_cost_by_day, margin_by_day
    TO leadsaga_operator, leadsaga_reader;
GRANT INSERT (kind, tenant_id, due_at), UPDATE (due_at) ON work_due TO leadsaga_operator;
ALTER TABLE reconciliations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliations FORCE ROW LEVEL SECURITY;
ALTER TABLE findings ENABLE ROW LEVEL SECURITY;
ALTER TABLE findings FORCE ROW LEVEL SECURITY;
CREATE POLICY steps ON sagas FOR SELECT TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));

CREATE POLICY steps ON reconciliations TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON reconciliations FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON reconciliations FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON findings TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON findings FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON findings FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));

CREATE POLICY operator_add ON work_due FOR INSERT TO leadsaga_operator WITH CHECK (due_at <= now());
CREATE POLICY operator_hasten ON work_due FOR UPDATE TO leadsaga_operator USING (true) WITH CHECK (due_at <= now());
