-- Refunds after their period: money goes back by a credit note or as credit on the customer's balance, leads can be
-- withdrawn, and operators can let a late refund through. The release before goes on working: it joins carriers to
-- intents, so what a credit carries is out of its sight, and nothing of it is left for its flush to send.

ALTER TABLE leads
    ADD COLUMN withdrawn_at timestamptz,
    ADD CHECK (withdrawn_at IS NULL OR visible_at IS NOT NULL);

CREATE TABLE credits (
    tenant_id       text NOT NULL,
    credit_id       uuid NOT NULL,
    ledger_id       uuid NOT NULL,                                       -- the reversal
    instrument      text NOT NULL CHECK (instrument IN ('credit_note', 'balance_credit')),
    customer        text NOT NULL,
    invoice         text,                                                -- in_...
    invoice_line    text,                                                -- il_...
    invoice_status  text CHECK (invoice_status IN ('open', 'paid')),     -- as it was read: says which kind of note
    leads           int NOT NULL CHECK (leads > 0),
    amount          bigint NOT NULL CHECK (amount >= 0),                 -- in the smallest unit, without tax; 0 is never sent
    tax             bigint NOT NULL CHECK (tax >= 0),                    -- on top of it
    currency        text NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN (
        'pending',     -- committed; Stripe surely does not have it
        'sending',     -- a call was begun: Stripe may have it, and is read before the next one
        'confirmed',   -- Stripe has it
        'rejected'     -- Stripe refused it; an operator decides
    )),
    attempts        int NOT NULL DEFAULT 0,
    key_generation  int NOT NULL DEFAULT 1,                              -- of the idempotency key: rotated after a refusal or a stored 5xx
    retry_at        timestamptz,                                         -- not before; while a call is under way, when it is surely over
    error           text,
    stripe_id       text,                                                -- cn_... or cbtxn_...
    replaces        uuid,                                                -- the intent that carried the reversal, and gave nothing back
    created_at      timestamptz NOT NULL DEFAULT now(),
    settled_at      timestamptz,
    PRIMARY KEY (tenant_id, credit_id),
    UNIQUE (tenant_id, ledger_id),
    FOREIGN KEY (tenant_id, ledger_id) REFERENCES ledger,
    FOREIGN KEY (tenant_id, replaces) REFERENCES intents,
    CHECK ((instrument = 'credit_note') = (invoice IS NOT NULL)),
    CHECK (num_nonnulls(invoice, invoice_line, invoice_status) IN (0, 3)),
    CHECK (state <> 'confirmed' OR stripe_id IS NOT NULL OR amount = 0)
);

ALTER TABLE carriers
    ALTER COLUMN intent_id DROP NOT NULL,
    ADD COLUMN credit_id uuid,
    ADD UNIQUE (tenant_id, credit_id),
    ADD FOREIGN KEY (tenant_id, credit_id) REFERENCES credits,
    ADD CHECK (num_nonnulls(intent_id, credit_id) = 1);

CREATE OR REPLACE FUNCTION refuse_other_carrier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        IF NEW.credit_id IS NULL THEN
            PERFORM FROM intents made JOIN intents gone ON gone.tenant_id = made.tenant_id AND gone.intent_id = made.replaces
                WHERE made.tenant_id = NEW.tenant_id AND made.intent_id = NEW.intent_id
                    AND gone.intent_id = OLD.intent_id AND gone.state = 'missing';
        ELSE
            PERFORM FROM credits made JOIN intents gone ON gone.tenant_id = made.tenant_id AND gone.intent_id = made.replaces
                WHERE made.tenant_id = NEW.tenant_id AND made.credit_id = NEW.credit_id
                    AND gone.intent_id = OLD.intent_id AND gone.state IN ('confirmed', 'rejected')
                    AND NOT EXISTS (SELECT FROM carriers o WHERE o.tenant_id = gone.tenant_id
                        AND o.intent_id = gone.intent_id AND o.ledger_id <> OLD.ledger_id);
        END IF;
        IF NOT FOUND OR (NEW.tenant_id, NEW.ledger_id) <> (OLD.tenant_id, OLD.ledger_id) THEN
            RAISE EXCEPTION 'a ledger row keeps its carrier' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
GRANT UPDATE (credit_id) ON carriers TO leadsaga_steps;

CREATE TABLE refund_permits (
    tenant_id   text NOT NULL REFERENCES tenants,
    refund_id   text NOT NULL CHECK (length(refund_id) BETWEEN 1 AND 100),
    actor       text NOT NULL,
    reason      text NOT NULL CHECK (length(reason) > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, refund_id)
);

GRANT SELECT, INSERT, UPDATE ON credits TO leadsaga_steps;
GRANT SELECT ON credits TO leadsaga_operator, leadsaga_reader;
GRANT SELECT ON refund_permits TO leadsaga_steps, leadsaga_reader;
GRANT SELECT, INSERT ON refund_permits TO leadsaga_operator;
ALTER TABLE credits ENABLE ROW LEVEL SECURITY;
ALTER TABLE credits FORCE ROW LEVEL SECURITY;
ALTER TABLE refund_permits ENABLE ROW LEVEL SECURITY;
ALTER TABLE refund_permits FORCE ROW LEVEL SECURITY;
CREATE POLICY steps ON credits TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON credits FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON credits FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON refund_permits FOR SELECT TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON refund_permits TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON refund_permits FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
