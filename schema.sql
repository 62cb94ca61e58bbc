-- The whole schema of a fresh install, and its story.
--
-- A request becomes a saga. The engine keeps where the saga stands (sagas), everything that ever happened
-- to it (saga_log), what upstream is still to hear (events_out) and what people ordered (orders). The steps
-- keep what they did and answered (effects) beside what they made: quota holds, leads, model calls, the usage
-- ledger, what was sent to Stripe (intents, carriers) and said on Discord (notices). The two sides share no
-- table but tenants; they talk over the broker.
--
-- Every table with tenant data has row-level security, enabled AND forced: without a policy that says
-- otherwise nobody sees a row. No role that runs is an owner, a superuser or may bypass it.
--   leadsaga_owner     owns everything, cannot log in
--   leadsaga_engine    the orchestrator: sagas, log, requests, events, orders, dead letters of all tenants; never leads or ledger
--   leadsaga_steps     the steps: one tenant at a time, set per transaction by set_config('leadsaga.tenant_id', ..., true)
--   leadsaga_operator  people at the command line: the engine's tables of all tenants, content of one tenant at a time
--   leadsaga_reader    dashboards: reads what operators read, drafts and secrets excepted
-- Times are timestamptz. Usage is counted in whole leads; money is numeric, never float.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['owner', 'engine', 'steps', 'operator', 'reader'] LOOP
        -- Roles belong to the whole cluster, and another database may be set up at this very moment.
        BEGIN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE %s',
                           'leadsaga_' || role_name, CASE role_name WHEN 'owner' THEN 'NOLOGIN' ELSE 'LOGIN' END);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- it exists, which is all that is wanted
        END;
    END LOOP;
    IF NOT pg_has_role(current_user, 'leadsaga_owner', 'MEMBER') THEN
        EXECUTE format('GRANT leadsaga_owner TO %I', current_user);
    END IF;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO leadsaga_owner', current_database());
END $$;

CREATE SCHEMA leadsaga AUTHORIZATION leadsaga_owner;
SET ROLE leadsaga_owner;
SET search_path = leadsaga;
GRANT USAGE ON SCHEMA leadsaga TO leadsaga_engine, leadsaga_steps, leadsaga_operator, leadsaga_reader;

-- The tenant that this transaction works for; NULL (and so no rows at all) when none was set. The setting
-- reads as an empty string once a transaction that set it is over.
CREATE FUNCTION current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('leadsaga.tenant_id', true), '') $$;

-- The tenants of the bundle of commands that this transaction carries out: it may read and write what is known of
-- their steps (effects), and nothing else of theirs, and not even that while it works for one of them.
CREATE FUNCTION bundle_tenants() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('leadsaga.bundle_tenants', true), '')::text[] $$;

-- A tenant's monthly billing periods are counted from `anchor`, in UTC. One that began on a 31st ends with shorter
-- months: nothing falls between two periods. `number` 0 is the first one.
CREATE FUNCTION period_begin(anchor timestamptz, number int) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (anchor AT TIME ZONE 'UTC' + make_interval(months => number)) AT TIME ZONE 'UTC' $$;

CREATE FUNCTION period_number(anchor timestamptz, at timestamptz) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = leadsaga, pg_temp
    AS $$
    WITH calendar AS (
        SELECT (12 * (extract(year FROM at AT TIME ZONE 'UTC') - extract(year FROM anchor AT TIME ZONE 'UTC'))
                + extract(month FROM at AT TIME ZONE 'UTC') - extract(month FROM anchor AT TIME ZONE 'UTC'))::int AS months
    )
    SELECT months - CASE WHEN period_begin(anchor, months) > at THEN 1 ELSE 0 END FROM calendar
    $$;

-- Start and end (which is the start of the next) of the billing period that contains `at`.
CREATE FUNCTION period_start(anchor timestamptz, at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = leadsaga, pg_temp
    AS $$ SELECT period_begin(anchor, period_number(anchor, at)) $$;

CREATE FUNCTION period_end(anchor timestamptz, at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = leadsaga, pg_temp
    AS $$ SELECT period_begin(anchor, period_number(anchor, at) + 1) $$;

-- Version of this schema, and what brought it here.
CREATE TABLE schema_versions (
    version     int PRIMARY KEY,
    name        text NOT NULL,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON schema_versions TO leadsaga_engine, leadsaga_steps, leadsaga_operator, leadsaga_reader;

---------------------------------------------------------------------------------------------- tenants

-- What is sold, and for how much: the terms that a plan begins with. Later ones are in plan_terms.
CREATE TABLE plans (
    plan_id         text PRIMARY KEY CHECK (plan_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    price_per_lead  numeric(12, 4) NOT NULL CHECK (price_per_lead >= 0 AND price_per_lead <> 'NaN'),  -- in `currency`
    currency        text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),        -- ISO 4217, lower case as Stripe writes it
    monthly_quota   int NOT NULL CHECK (monthly_quota >= 0),              -- leads per billing period
    overage         boolean NOT NULL DEFAULT false,                       -- may usage exceed the quota?
    event_name      text NOT NULL DEFAULT 'leads_delivered',              -- of the Stripe meter
    billing         text NOT NULL DEFAULT 'metered' CHECK (billing IN (
        'metered',  -- usage is reported to Stripe
        'manual'    -- people bill it: nothing is reported
    )),
    stripe_price    text                                                  -- price_...; NULL = not told
);
GRANT SELECT ON plans TO leadsaga_engine, leadsaga_steps, leadsaga_reader;
GRANT SELECT, INSERT, UPDATE ON plans TO leadsaga_operator;

-- What a plan says from a moment on, until the next such moment: all of it, not what differs. Never changed. Quota and
-- overage hold at once; price, currency, meter and billing for a tenant from its next billing period on, since Stripe
-- prices a period as a whole.
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

-- The terms of a plan at a moment; its first ones are as old as can be.
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

-- What one unit of a currency is worth from a day (UTC) on: models are paid in dollars, leads in whatever was agreed.
CREATE TABLE exchange_rates (
    currency    text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    valid_from  date NOT NULL,
    usd         numeric(18, 9) NOT NULL CHECK (usd > 0 AND usd <> 'NaN'),
    PRIMARY KEY (currency, valid_from)
);
GRANT SELECT ON exchange_rates TO leadsaga_reader;
GRANT SELECT, INSERT, UPDATE ON exchange_rates TO leadsaga_operator;

CREATE TABLE tenants (
    tenant_id        text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name             text NOT NULL,
    status           text NOT NULL DEFAULT 'active' CHECK (status IN (
        'provisioning',  -- its saga is under way: nobody can ask in its name, and it may yet be taken back
        'active',
        'suspended'      -- by an operator: new requests are refused
    )),
    plan_id          text NOT NULL REFERENCES plans,
    billing_anchor   timestamptz NOT NULL DEFAULT date_trunc('month', now()),
    stripe_customer  text,                                               -- cus_...; NULL until known
    sagas_in_flight  int NOT NULL DEFAULT 50 CHECK (sagas_in_flight > 0),  -- at most; the rest waits its turn
    model_calls      int NOT NULL DEFAULT 4 CHECK (model_calls > 0),       -- at most, side by side
    created_at       timestamptz NOT NULL DEFAULT now(),
    provisioned_by   uuid,                                               -- the administration's saga that adds, or added, it
    CHECK (status <> 'provisioning' OR provisioned_by IS NOT NULL)
);

-- We ourselves: the sagas that add tenants are the administration's. It can ask for no lead.
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota, billing) VALUES ('administration', 0, 'usd', 0, 'manual');
INSERT INTO tenants (tenant_id, name, plan_id) VALUES ('administration', 'Administration', 'administration');

-- What is switched on or off for a tenant, for the services around this one to read.
CREATE TABLE feature_flags (
    tenant_id  text NOT NULL REFERENCES tenants,
    flag       text NOT NULL CHECK (flag ~ '^[a-z][a-z0-9_]{0,39}$'),
    enabled    boolean NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, flag)
);

-- The keys that something in this database is sealed with, by names that tell nothing of them: a process without
-- one of them does not start. The keys themselves are in the settings of those who seal and open, never here.
CREATE TABLE secret_keys (
    key_id      text PRIMARY KEY CHECK (key_id ~ '^[0-9a-f]{16}$'),
    created_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON secret_keys TO leadsaga_steps;
GRANT SELECT, INSERT, DELETE ON secret_keys TO leadsaga_operator;  -- one that still seals something cannot go

-- Where a tenant is told. The URL is a secret: whoever has it can post.
CREATE TABLE discord_webhooks (
    tenant_id        text PRIMARY KEY REFERENCES tenants,
    url              text,                                               -- in the clear, from the release before: the newer one
    disabled_at      timestamptz,
    disabled_reason  text,
    sealed           bytea,                                              -- the URL; opens for this tenant only
    sealed_by        text REFERENCES secret_keys,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CHECK (url IS NOT NULL OR sealed IS NOT NULL),
    CHECK ((sealed IS NULL) = (sealed_by IS NULL))
);

----------------------------------------------------------------------------------------------- engine

-- One row for each request ever accepted: the dedupe. Remembered for ever (35 days is the promise).
CREATE TABLE requests (
    tenant_id     text NOT NULL REFERENCES tenants,
    saga          text NOT NULL,
    request_id    text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 100),
    content_hash  bytea NOT NULL,                                        -- same id + other content = refused
    saga_id       uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, saga, request_id)
);

-- Where each saga stands: the fold of its log, kept so that nobody has to fold it.
CREATE TABLE sagas (
    tenant_id   text NOT NULL REFERENCES tenants,
    saga_id     uuid NOT NULL,
    saga        text NOT NULL,
    version     int NOT NULL,
    request_id  text NOT NULL,
    request     jsonb NOT NULL,
    status      text NOT NULL CHECK (status IN (
        'waiting',      -- accepted; its turn has not come
        'running',      -- going forward
        'unwinding',    -- undoing, newest step first
        'parked',       -- waits for a human
        'completed',    -- ended well
        'rolled_back'   -- ended with nothing left behind
    )),
    state       jsonb NOT NULL,
    entries     int NOT NULL CHECK (entries > 0),                        -- length of the log
    in_flight   boolean NOT NULL DEFAULT false,                          -- counts against the limits of the starter
    -- When to look at the saga again at the latest. Never later than its due time or deadline, often earlier:
    -- the happy path does not touch this indexed column, the timer that finds it early moves it.
    wake_at     timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, saga_id),
    CHECK (NOT in_flight OR status IN ('running', 'unwinding')),
    CHECK (wake_at IS NULL OR status IN ('waiting', 'running', 'unwinding', 'parked'))
) WITH (fillfactor = 70);
CREATE INDEX sagas_wake ON sagas (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX sagas_waiting ON sagas (tenant_id, saga_id) WHERE status = 'waiting';
CREATE INDEX sagas_in_flight ON sagas (tenant_id) WHERE in_flight;
CREATE INDEX sagas_parked ON sagas (tenant_id, saga_id) WHERE status = 'parked';
CREATE INDEX sagas_unended ON sagas (created_at) WHERE status IN ('waiting', 'running', 'unwinding');
CREATE INDEX sagas_recent ON sagas (tenant_id, created_at DESC);

-- The transaction log: append-only, gap-free per saga. No reference to sagas: it would be checked for each entry, and
-- only one statement writes either of them, both together (`save` in orchestrator/store/queries.sql).
CREATE TABLE saga_log (
    tenant_id  text NOT NULL,
    saga_id    uuid NOT NULL,
    seq        int NOT NULL CHECK (seq > 0),
    at         timestamptz NOT NULL,
    kind       text NOT NULL,
    entry      jsonb NOT NULL,
    PRIMARY KEY (tenant_id, saga_id, seq)
);

-- What upstream is to hear: written with its cause, deleted once the broker confirmed it. A refused request
-- may name a tenant that does not exist, so there is no reference.
CREATE TABLE events_out (
    event_id    uuid PRIMARY KEY,
    tenant_id   text NOT NULL,
    event       text NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_out_old ON events_out (created_at);

-- Commands that could not be carried out, and messages that could not be read.
CREATE TABLE dead_letters (
    dead_letter_id  uuid PRIMARY KEY,
    tenant_id       text,                                                -- NULL only for what cannot be decoded
    saga_id         uuid,
    saga            text,
    step            text,
    direction       text CHECK (direction IN ('do', 'undo')),
    attempt         int,
    queue           text NOT NULL,
    message_id      text NOT NULL,
    error           text NOT NULL,
    reason          text NOT NULL,
    fingerprint     text NOT NULL,                                       -- queue, error and reason without its numbers
    message         bytea NOT NULL,                                      -- the exact bytes
    status          text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'resolved', 'moot')),
    first_at        timestamptz NOT NULL DEFAULT now(),
    last_at         timestamptz NOT NULL DEFAULT now(),
    routing_key     text,                                                -- it came with; NULL = not known
    times_seen      int NOT NULL DEFAULT 1 CHECK (times_seen > 0),       -- how often it came to lie here
    UNIQUE (queue, message_id),
    UNIQUE (tenant_id, dead_letter_id),                                  -- for what refers to one of its own tenant
    CHECK (saga_id IS NULL OR tenant_id IS NOT NULL)
);
CREATE INDEX dead_letters_open ON dead_letters (tenant_id, saga_id) WHERE status = 'open';

-- What operators ordered. The engine takes an order as news and writes its result; the tool waits for it. An
-- order is about a saga, or about a dead letter that belongs to none, which is published again.
CREATE TABLE orders (
    order_id        uuid PRIMARY KEY,
    tenant_id       text,                                                -- of the saga, or of the dead letter if it has one
    saga_id         uuid,
    kind            text NOT NULL CHECK (kind IN ('cancel', 'replay', 'resolve')),
    verdict         text CHECK (verdict IN ('done', 'not_done')),
    actor           text NOT NULL,
    reason          text NOT NULL CHECK (length(reason) > 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    taken_at        timestamptz,
    result          text,                                                -- 'done', or why it was refused
    dead_letter_id  uuid REFERENCES dead_letters,                        -- the one to be tried again
    -- Where the saga was parked when this was ordered: if it stands elsewhere by now, the order is refused.
    step            text,
    direction       text CHECK (direction IN ('do', 'undo')),
    attempt         int,
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas,
    FOREIGN KEY (tenant_id, dead_letter_id) REFERENCES dead_letters (tenant_id, dead_letter_id),
    CHECK ((kind = 'resolve') = (verdict IS NOT NULL)),
    CHECK ((taken_at IS NULL) = (result IS NULL)),
    CHECK (saga_id IS NULL OR tenant_id IS NOT NULL),
    CHECK (saga_id IS NOT NULL OR dead_letter_id IS NOT NULL),
    CHECK (dead_letter_id IS NULL OR kind = 'replay'),
    CHECK ((step IS NULL) = (direction IS NULL) AND (step IS NULL) = (attempt IS NULL))
);
CREATE INDEX orders_open ON orders (created_at) WHERE taken_at IS NULL;

-- Who changed or looked at what, when and why. Append-only. Who inserts gives neither number, time nor role.
CREATE TABLE audit (
    audit_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,                                           -- as the tool was told
    action      text NOT NULL,
    tenant_id   text,
    saga_id     uuid,
    reason      text NOT NULL DEFAULT '',
    before      jsonb,
    after       jsonb,
    written_by  text DEFAULT current_user                                -- as the database knows; NULL = before it kept that
);
CREATE INDEX audit_of_tenant ON audit (tenant_id, audit_id);

-- The audit's chain: each link holds the SHA-256 of the link before it and of its row, so that no row can be changed,
-- removed or moved unseen. Made by the trigger alone: those who insert may not even read it.
CREATE TABLE audit_chain (
    link      bigint PRIMARY KEY CHECK (link > 0),                       -- 1, 2, 3, ... without a gap
    audit_id  bigint NOT NULL UNIQUE REFERENCES audit,
    hash      bytea NOT NULL CHECK (length(hash) = 32)
);

-- Its end, kept apart: who takes the last rows away has to mend this, too.
CREATE TABLE audit_head (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    link      bigint NOT NULL DEFAULT 0,
    hash      bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
);
INSERT INTO audit_head DEFAULT VALUES;

-- What a link's hash is taken of. `leadsaga audit verify` has the same words, and does not call this.
CREATE FUNCTION audit_content(entry audit) RETURNS text
    LANGUAGE sql STABLE SET search_path = leadsaga, pg_temp
    AS $$
    SELECT jsonb_build_array(entry.audit_id, (extract(epoch FROM entry.at) * 1000000)::bigint, entry.actor, entry.action,
        entry.tenant_id, entry.saga_id, entry.reason, entry.before, entry.after, entry.written_by)::text
    $$;

-- Runs at the end of the transaction, so that transactions wait for each other no longer than a commit takes, and
-- never hold the head while they wait for anything else.
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
CREATE CONSTRAINT TRIGGER audit_linked AFTER INSERT ON audit
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION link_audit();

------------------------------------------------------------------------------------------------ steps

-- What each step did or answered for a saga. Every transaction that writes for a step locks its row
-- first, or makes it together with its answer.
CREATE TABLE effects (
    tenant_id   text NOT NULL,
    saga_id     uuid NOT NULL,
    step        text NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('do', 'undo')),
    state       text NOT NULL DEFAULT 'open' CHECK (state IN (
        'open',    -- asked, perhaps partly done
        'done',    -- took effect
        'undone'   -- taken back, or forbidden: before it happened, or because a person settled it
    )),
    attempt     int NOT NULL DEFAULT 0,                                  -- highest attempt that was started
    started_at  timestamptz,                                             -- of that attempt
    starts      int NOT NULL DEFAULT 0,                                  -- of that attempt: how often it was begun
    run         int NOT NULL DEFAULT 0,                                  -- goes up at every beginning: only the latest may write
    answered    int NOT NULL DEFAULT 0,                                  -- highest attempt that was answered
    answer      jsonb,                                                   -- the outcome, as it was sent
    owed        boolean NOT NULL DEFAULT false,                          -- a later job gives, or publishes, the answer
    outside     jsonb NOT NULL DEFAULT '{}',                             -- ids in outside worlds
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, saga_id, step, direction),
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas,
    CHECK (answered <= attempt),
    CHECK ((answered > 0) = (answer IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX effects_owed ON effects (tenant_id, saga_id) WHERE owed;

-- The one list of ids and times that steps may read across tenants: who has work that is due.
CREATE TABLE work_due (
    kind       text NOT NULL CHECK (kind IN ('flush', 'notices', 'reconcile')),
    tenant_id  text NOT NULL REFERENCES tenants,
    due_at     timestamptz NOT NULL,
    weight     int NOT NULL DEFAULT 0,                                   -- leads or notices that wait; open findings
    since      timestamptz NOT NULL DEFAULT now(),                       -- the oldest work has waited since; compared last
    version    bigint NOT NULL DEFAULT 1,                                -- bumped by whoever adds work
    PRIMARY KEY (kind, tenant_id)
);
CREATE INDEX work_due_next ON work_due (kind, due_at);

-- Who works for no tenant moves the times of all, and nothing else of them.
CREATE FUNCTION refuse_more_than_a_claim() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN RAISE EXCEPTION 'only due_at moves without a tenant' USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE TRIGGER work_due_claimed BEFORE UPDATE ON work_due FOR EACH ROW
    WHEN (current_user = 'leadsaga_steps' AND current_tenant() IS NULL
        AND (OLD.weight, OLD.since, OLD.version) IS DISTINCT FROM (NEW.weight, NEW.since, NEW.version))
    EXECUTE FUNCTION refuse_more_than_a_claim();

-- A tenant's use of a billing period. The row is the lock that reservations queue up for.
CREATE TABLE quota_periods (
    tenant_id     text NOT NULL REFERENCES tenants,
    period_start  timestamptz NOT NULL,
    used          int NOT NULL DEFAULT 0 CHECK (used >= 0),              -- leads delivered, less those given back
    held          int NOT NULL DEFAULT 0 CHECK (held >= 0),              -- leads promised to live sagas
    PRIMARY KEY (tenant_id, period_start)
);

-- Whoever uses the service is reconciled from then on, for ever.
CREATE FUNCTION begin_reconciling() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        INSERT INTO work_due (kind, tenant_id, due_at) VALUES ('reconcile', NEW.tenant_id, now()) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
CREATE TRIGGER quota_begins_reconciling AFTER INSERT ON quota_periods
    FOR EACH ROW EXECUTE FUNCTION begin_reconciling();

-- Leads promised to one saga. A hold of a live saga never expires.
CREATE TABLE holds (
    tenant_id     text NOT NULL,
    saga_id       uuid NOT NULL,
    period_start  timestamptz NOT NULL,
    leads         int NOT NULL CHECK (leads > 0),
    state         text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'settled', 'released')),
    PRIMARY KEY (tenant_id, saga_id),
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas,
    FOREIGN KEY (tenant_id, period_start) REFERENCES quota_periods
);
CREATE INDEX holds_held ON holds (tenant_id, saga_id) WHERE state = 'held';

-- Every call to the model, failed ones too: its tokens are ours to pay.
CREATE TABLE model_calls (
    tenant_id           text NOT NULL,
    call_id             uuid NOT NULL,
    saga_id             uuid NOT NULL,
    attempt             int NOT NULL,
    part                int NOT NULL,                                    -- which 25 leads of the request
    model               text,                                            -- NULL = begun
    outcome             text NOT NULL CHECK (outcome IN (
        'begun',      -- nobody knows what it cost: the process died in it, or the saga was undone meanwhile
        'answered',
        'truncated',  -- the answer was cut; its whole leads were kept
        'refused',    -- by the model itself
        'failed',
        'timed_out'
    )),
    error               text,
    provider_id         text,                                            -- the provider's request id
    input_tokens        int,                                             -- cache reads and writes included
    cache_read_tokens   int,
    cache_write_tokens  int,
    output_tokens       int,
    cost_usd            numeric(18, 9) CHECK (cost_usd >= 0),            -- NULL = the price is not known
    priced_by           text,                                            -- price book and version
    unpriced            boolean NOT NULL DEFAULT false,                  -- tokens were used, but nobody knows their price
    leads               int NOT NULL DEFAULT 0 CHECK (leads >= 0),       -- kept as drafts
    invalid             int NOT NULL DEFAULT 0 CHECK (invalid >= 0),     -- dropped
    duplicates          int NOT NULL DEFAULT 0 CHECK (duplicates >= 0),  -- dropped: the saga had the company already
    started_at          timestamptz NOT NULL DEFAULT now(),
    seconds             numeric(10, 3),                                  -- NULL = begun
    CHECK (outcome = 'begun' OR (model IS NOT NULL AND seconds IS NOT NULL)),
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas
);
CREATE INDEX model_calls_of_saga ON model_calls (tenant_id, saga_id);
CREATE INDEX model_calls_begun ON model_calls (tenant_id, started_at) WHERE outcome = 'begun';

-- Leads. A draft (visible_at IS NULL) belongs to nobody yet; recording usage makes it visible and counts it.
CREATE TABLE leads (
    tenant_id      text NOT NULL,
    lead_id        uuid NOT NULL,
    saga_id        uuid NOT NULL,
    part           int NOT NULL,
    dedupe_key     text NOT NULL,
    company        text NOT NULL,
    website        text NOT NULL,
    contact_name   text NOT NULL,
    contact_title  text NOT NULL,
    email          text NOT NULL,
    country        text NOT NULL,
    reason         text NOT NULL,
    score          int NOT NULL CHECK (score BETWEEN 0 AND 100),
    created_at     timestamptz NOT NULL DEFAULT now(),
    visible_at     timestamptz,
    withdrawn_at   timestamptz,                                          -- by a refund; it is not delivered again
    CHECK (withdrawn_at IS NULL OR visible_at IS NOT NULL),
    PRIMARY KEY (tenant_id, lead_id),
    UNIQUE (tenant_id, saga_id, dedupe_key),
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas
);

-- Usage: what was delivered, and what of it was taken back. Rows are never changed or removed.
CREATE TABLE ledger (
    tenant_id     text NOT NULL,
    ledger_id     uuid NOT NULL,
    saga_id       uuid NOT NULL,
    request_id    text NOT NULL,                                         -- of the lead request, also for a reversal
    kind          text NOT NULL CHECK (kind IN ('usage', 'reversal')),
    leads         int NOT NULL,                                          -- usage: +M, reversal: -k
    original_id   uuid,                                                  -- the usage that a reversal takes back
    unit_price    numeric(12, 4) NOT NULL CHECK (unit_price <> 'NaN'),
    currency      text NOT NULL,
    event_name    text NOT NULL,                                         -- of the meter that counts it
    period_start  timestamptz NOT NULL,                                  -- billing period of the usage, also for its reversal
    occurred_at   timestamptz NOT NULL DEFAULT now(),
    actor         text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '',
    billing       text NOT NULL DEFAULT 'metered' CHECK (billing IN ('metered', 'manual')),  -- as the plan said
    PRIMARY KEY (tenant_id, ledger_id),
    UNIQUE (tenant_id, saga_id),                                         -- a saga counts once
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas,
    FOREIGN KEY (tenant_id, original_id) REFERENCES ledger,
    CHECK (kind = 'usage' AND leads > 0 AND original_id IS NULL
        OR kind = 'reversal' AND leads < 0 AND original_id IS NOT NULL)
);
CREATE INDEX ledger_of_original ON ledger (tenant_id, original_id) WHERE original_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_of_request ON ledger (tenant_id, request_id) WHERE kind = 'usage';
CREATE INDEX ledger_of_period ON ledger (tenant_id, period_start);

-- The reversals of a usage row never exceed it, also when two arrive at once: the lock makes them queue up. They are
-- billed as it is.
CREATE FUNCTION refuse_excess_reversal() RETURNS trigger
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
CREATE TRIGGER reversal_within_usage BEFORE INSERT ON ledger
    FOR EACH ROW WHEN (NEW.kind = 'reversal') EXECUTE FUNCTION refuse_excess_reversal();

-- One planned send of usage to Stripe, committed before the call. The identifier never changes.
CREATE TABLE intents (
    tenant_id        text NOT NULL,
    intent_id        uuid NOT NULL,
    identifier       text NOT NULL CHECK (length(identifier) <= 100),
    customer         text NOT NULL,
    event_name       text NOT NULL,
    event_at         timestamptz NOT NULL,                               -- inside the billing period it counts in
    period_start     timestamptz NOT NULL,
    value            int NOT NULL,                                       -- net leads; 0 is never sent, and confirmed at once
    state            text NOT NULL DEFAULT 'pending' CHECK (state IN (
        'pending',     -- committed, not yet sent
        'sending',     -- a call was begun
        'confirmed',   -- Stripe has it
        'ambiguous',   -- Stripe may have it, and its identifier may be forgotten there
        'missing',     -- Stripe surely does not have it: another intent carries its rows
        'rejected',    -- Stripe refused it; an operator decides
        'manual'       -- never sent: its plan is billed by hand
    )),
    attempts         int NOT NULL DEFAULT 0,
    key_generation   int NOT NULL DEFAULT 1,                             -- of the idempotency key: rotated after a stored 5xx
    -- Not sent again before; while a call is under way, when it is surely over; of an ambiguous one, when Stripe's
    -- totals are read next. Of a rejected one: it is to be tried again.
    retry_at         timestamptz,
    error            text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    first_sent_at    timestamptz,                                        -- the first call that Stripe may have taken
    first_key        int,                                                -- the key_generation of that call
    settled_at       timestamptz,
    absence_observed_at  timestamptz,                                    -- Stripe's totals showed first that it is not there
    replaces         uuid,                                               -- the missing one whose rows it carries
    PRIMARY KEY (tenant_id, intent_id),
    UNIQUE (tenant_id, identifier),
    UNIQUE (tenant_id, replaces),                                        -- nothing is sent anew twice
    FOREIGN KEY (tenant_id) REFERENCES tenants,
    FOREIGN KEY (tenant_id, replaces) REFERENCES intents,
    -- Absence is proved by two totals, a day apart: the first may have been behind.
    CHECK (state <> 'missing' OR coalesce(settled_at - absence_observed_at >= interval '24 hours', false))
);
-- At most one send under way per customer and meter.
CREATE UNIQUE INDEX intents_one_in_flight ON intents (tenant_id, event_name)
    WHERE state IN ('pending', 'sending', 'ambiguous');
CREATE INDEX intents_of_period ON intents (tenant_id, period_start);
CREATE INDEX intents_asked_again ON intents (tenant_id, event_name) WHERE state = 'rejected' AND retry_at IS NOT NULL;

-- Money that is given back for leads of a period whose invoice counts no more events: committed before the call. A
-- credit is changed only while Stripe surely does not have it; its id in Stripe's metadata finds it there.
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

-- What brings a ledger row to Stripe: exactly one carrier each, claimed in the transaction that makes it.
CREATE TABLE carriers (
    tenant_id  text NOT NULL,
    ledger_id  uuid NOT NULL,
    intent_id  uuid,
    credit_id  uuid,
    PRIMARY KEY (tenant_id, ledger_id),
    UNIQUE (tenant_id, credit_id),
    FOREIGN KEY (tenant_id, ledger_id) REFERENCES ledger,
    FOREIGN KEY (tenant_id, intent_id) REFERENCES intents,
    FOREIGN KEY (tenant_id, credit_id) REFERENCES credits,
    CHECK (num_nonnulls(intent_id, credit_id) = 1)
);
CREATE INDEX carriers_of_intent ON carriers (tenant_id, intent_id);

-- A row changes its carrier in two cases only: Stripe surely does not have the send, and the one that replaces it takes
-- over; or the send, of this row alone, gave nothing back (it came after the invoice was final, or was refused), and a
-- credit does instead.
CREATE FUNCTION refuse_other_carrier() RETURNS trigger
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
CREATE TRIGGER carriers_follow_replacements BEFORE UPDATE ON carriers
    FOR EACH ROW EXECUTE FUNCTION refuse_other_carrier();

-- Tenants whose last usage Stripe refused for a reason of theirs, such as a customer that it does not know. What
-- was refused is parked, saga by saga; the flag goes when Stripe takes usage of the tenant again.
CREATE TABLE billing_flags (
    tenant_id   text PRIMARY KEY REFERENCES tenants,
    intent_id   uuid NOT NULL,
    reason      text NOT NULL,
    flagged_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, intent_id) REFERENCES intents
);

-- Refunds that an operator lets through although their time is over. Who asks for a refund cannot write here.
CREATE TABLE refund_permits (
    tenant_id   text NOT NULL REFERENCES tenants,
    refund_id   text NOT NULL CHECK (length(refund_id) BETWEEN 1 AND 100),
    actor       text NOT NULL,
    reason      text NOT NULL CHECK (length(reason) > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, refund_id)
);

-- Calls that all processes together make to a vendor's account: who takes a turn moves the next one on.
CREATE TABLE vendor_turns (
    bucket   text PRIMARY KEY,                                           -- a kind of call that the vendor limits
    next_at  timestamptz NOT NULL
);

-- The ledger rows that have no carrier yet, so that a flush need not search the whole ledger for them. Kept by
-- the two triggers alone: nobody can forget a row.
CREATE TABLE uncarried (
    tenant_id  text NOT NULL,
    ledger_id  uuid NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id),
    FOREIGN KEY (tenant_id, ledger_id) REFERENCES ledger
);
CREATE FUNCTION await_carrier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        INSERT INTO uncarried SELECT tenant_id, ledger_id FROM added;
        RETURN NULL;
    END $$;
CREATE TRIGGER ledger_awaits_carrier AFTER INSERT ON ledger
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION await_carrier();
CREATE FUNCTION end_wait_for_carrier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        DELETE FROM uncarried u USING added a WHERE u.tenant_id = a.tenant_id AND u.ledger_id = a.ledger_id;
        RETURN NULL;
    END $$;
CREATE TRIGGER carriers_end_wait AFTER INSERT ON carriers
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION end_wait_for_carrier();

-- What a tenant is told on Discord. A message is sent at most once: marked before the call.
CREATE TABLE notices (
    tenant_id   text NOT NULL,
    notice_id   uuid NOT NULL,
    saga_id     uuid,                                                    -- NULL = the welcome: its saga is not the tenant's
    event       text NOT NULL CHECK (event IN ('completed', 'failed', 'parked', 'refunded', 'welcome')),
    title       text NOT NULL,
    body        text NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN (
        'waiting',    -- to be sent with the next message
        'sending',    -- a call was begun; after a crash nobody knows
        'sent',
        'unknown',    -- may have been sent: not repeated
        'given_up',   -- surely not sent for 24 h, or refused
        'no_webhook'  -- the tenant has none, or it is disabled
    )),
    attempts    int NOT NULL DEFAULT 0,
    retry_at    timestamptz,                                             -- waiting: not before; sending: over by then
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    settled_at  timestamptz,
    PRIMARY KEY (tenant_id, notice_id),
    UNIQUE (tenant_id, saga_id, event),
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas,
    CHECK ((saga_id IS NULL) = (event = 'welcome'))
);
CREATE INDEX notices_open ON notices (tenant_id, created_at) WHERE state IN ('waiting', 'sending');

--------------------------------------------------------------------------------------- reconciliation

-- The books of a tenant, a meter and a billing period beside each other, as they were compared last. In leads; money in
-- the smallest unit of its currency.
CREATE TABLE reconciliations (
    tenant_id     text NOT NULL REFERENCES tenants,
    event_name    text NOT NULL,
    period_start  timestamptz NOT NULL,
    compared_at   timestamptz NOT NULL,
    ledger        int NOT NULL,                                          -- delivered, less what was given back
    told          int NOT NULL,                                          -- sends that Stripe has confirmed
    under_way     int NOT NULL,                                          -- no send yet, or one that is not settled
    refused       int NOT NULL,                                          -- by Stripe: parked, saga by saga
    by_hand       int NOT NULL,                                          -- of a plan that people bill
    credited      int NOT NULL,                                          -- given back by other means than a send
    counted       bigint,                                                -- Stripe's own total; NULL = nothing to count
    behind        boolean NOT NULL DEFAULT false,                        -- the total lacks what was sent of late, at most
    invoiced      bigint,                                                -- on the period's invoice; NULL = there is none
    charged       bigint,
    owed          bigint,                                                -- what should be charged by the ledger's prices
    currency      text,
    unread        text,                                                  -- why Stripe's side could not be read
    PRIMARY KEY (tenant_id, event_name, period_start)
);

-- Where the books differ, each difference once for as long as it lasts. Nothing is removed: what is gone is resolved.
CREATE TABLE findings (
    tenant_id      text NOT NULL REFERENCES tenants,
    finding_id     uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN (
        'delivered',  -- a saga's visible leads are not what the ledger counts
        'carried',    -- a send does not stand for the ledger rows that it carries, or rows wait for none
        'stuck',      -- a send is not settled for hours
        'counted',    -- Stripe's total is not what it has confirmed
        'invoiced',   -- an invoice's quantity is not what Stripe was told
        'charged',    -- an invoice's money is not what the ledger's prices come to
        'held'        -- quota is held for a saga that has ended
    )),
    subject        text NOT NULL,                                        -- what differs: a saga, a send, a period, an invoice
    expected       bigint NOT NULL,                                      -- leads, or money in its smallest unit
    found          bigint NOT NULL,
    reason         text NOT NULL,
    sagas          uuid[] NOT NULL DEFAULT '{}',                         -- behind it, as far as they are known
    first_seen_at  timestamptz NOT NULL DEFAULT now(),
    last_seen_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at    timestamptz,                                          -- seen no more
    PRIMARY KEY (tenant_id, finding_id)
);
CREATE UNIQUE INDEX findings_open ON findings (tenant_id, kind, subject) WHERE resolved_at IS NULL;

---------------------------------------------------------------------------------- money by tenant and day

-- Days are UTC. A refund counts on the day on which it was given.
CREATE VIEW revenue_by_day WITH (security_invoker = true) AS
SELECT tenant_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, currency, billing,
    coalesce(sum(leads) FILTER (WHERE kind = 'usage'), 0)::bigint AS delivered,
    coalesce(-sum(leads) FILTER (WHERE kind = 'reversal'), 0)::bigint AS refunded,
    sum(leads * unit_price) AS revenue                                   -- in `currency`
FROM ledger GROUP BY 1, 2, 3, 4;

-- Every call to the model, whatever came of it. What nobody can price is counted, and costs nothing here.
CREATE VIEW model_cost_by_day WITH (security_invoker = true) AS
SELECT tenant_id, (started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS calls,
    count(*) FILTER (WHERE outcome <> 'answered') AS failed_calls,       -- cut, refused, broken off or never answered
    count(*) FILTER (WHERE cost_usd IS NULL) AS unpriced_calls,
    coalesce(sum(input_tokens), 0)::bigint AS input_tokens, coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(cost_usd), 0) AS cost_usd
FROM model_calls GROUP BY 1, 2;

-- In US dollars; no margin where the rate of a currency is not known.
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

------------------------------------------------------------------------- grants: what each role may do

GRANT SELECT (tenant_id, status, sagas_in_flight) ON tenants TO leadsaga_engine;
GRANT SELECT, INSERT ON requests TO leadsaga_engine;
GRANT SELECT, INSERT, UPDATE ON sagas TO leadsaga_engine;
GRANT SELECT, INSERT ON saga_log TO leadsaga_engine;
GRANT SELECT, INSERT, DELETE ON events_out TO leadsaga_engine;
GRANT SELECT, UPDATE ON orders TO leadsaga_engine;
GRANT SELECT, INSERT, UPDATE ON dead_letters TO leadsaga_engine;
GRANT INSERT (actor, action, tenant_id, saga_id, reason, before, after) ON audit TO leadsaga_engine;

GRANT SELECT, DELETE, INSERT (tenant_id, name, status, plan_id, sagas_in_flight, model_calls, provisioned_by),
    UPDATE (status, stripe_customer) ON tenants TO leadsaga_steps;  -- only while it is being added
GRANT SELECT, INSERT, UPDATE, DELETE ON discord_webhooks, feature_flags TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE ON quota_periods, holds, model_calls, leads, intents, notices TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE (state, attempt, started_at, starts, run, answered, answer, owed, outside, updated_at)
    ON effects TO leadsaga_steps;
GRANT SELECT, INSERT, DELETE, UPDATE (due_at, weight, since, version) ON work_due TO leadsaga_steps;
GRANT DELETE ON leads TO leadsaga_steps;
GRANT SELECT, INSERT ON ledger, carriers TO leadsaga_steps;
GRANT SELECT, INSERT, DELETE ON uncarried TO leadsaga_steps;
GRANT UPDATE (reason) ON ledger TO leadsaga_steps;  -- row locks need it; a trigger refuses every update
GRANT UPDATE (intent_id, credit_id) ON carriers TO leadsaga_steps;  -- a trigger refuses all but what a replacement needs
GRANT SELECT, INSERT, UPDATE ON credits TO leadsaga_steps;
GRANT SELECT ON credits TO leadsaga_operator, leadsaga_reader;
GRANT SELECT ON refund_permits TO leadsaga_steps, leadsaga_reader;
GRANT SELECT, INSERT ON refund_permits TO leadsaga_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON billing_flags TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE ON vendor_turns TO leadsaga_steps;
GRANT SELECT ON billing_flags TO leadsaga_operator, leadsaga_reader;
GRANT SELECT (tenant_id, saga_id, status, created_at) ON sagas TO leadsaga_steps;  -- to find what ended sagas left behind
GRANT SELECT, INSERT, UPDATE ON reconciliations, findings TO leadsaga_steps;
GRANT SELECT ON reconciliations, findings, revenue_by_day, model_cost_by_day, margin_by_day
    TO leadsaga_operator, leadsaga_reader;
GRANT INSERT (kind, tenant_id, due_at), UPDATE (due_at) ON work_due TO leadsaga_operator;  -- sooner, never later
GRANT INSERT (actor, action, tenant_id, saga_id, reason, before, after) ON audit TO leadsaga_steps;

GRANT SELECT, INSERT, UPDATE ON tenants, feature_flags TO leadsaga_operator;
GRANT SELECT (tenant_id, disabled_at, disabled_reason), INSERT, UPDATE ON discord_webhooks TO leadsaga_operator;
GRANT SELECT ON requests, sagas, saga_log, events_out, dead_letters, effects, quota_periods, holds, model_calls,
    leads, ledger, intents, carriers, uncarried, notices, work_due, audit TO leadsaga_operator;
GRANT SELECT, INSERT ON orders TO leadsaga_operator;
GRANT INSERT (tenant_id, saga_id, step, direction, state), UPDATE (state, owed, updated_at) ON effects
    TO leadsaga_operator;  -- to forbid a step that is settled by hand
GRANT UPDATE (status) ON dead_letters TO leadsaga_operator;  -- to close one that belongs to no parked saga
GRANT INSERT (actor, action, tenant_id, saga_id, reason, before, after) ON audit TO leadsaga_operator;
GRANT SELECT ON audit_chain, audit_head TO leadsaga_operator;

GRANT SELECT ON tenants, feature_flags, requests, sagas, saga_log, events_out, orders, dead_letters, effects, quota_periods, holds,
    model_calls, leads, ledger, intents, carriers, uncarried, notices, work_due TO leadsaga_reader;

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
-- For a statement that has to reach all of its rows, or none.
CREATE FUNCTION expect_all(reached bigint, wanted int) RETURNS void
    LANGUAGE plpgsql SET search_path = leadsaga, pg_temp
    AS $$ BEGIN
        IF reached <> wanted THEN
            RAISE EXCEPTION 'rows are not as they were read' USING ERRCODE = 'serialization_failure';
        END IF;
    END $$;

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER saga_log_append_only BEFORE UPDATE OR DELETE ON saga_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER chain_append_only BEFORE UPDATE OR DELETE ON audit_chain FOR EACH ROW EXECUTE FUNCTION refuse_change();

---------------------------------------------------------- row-level security: which rows each role may see

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE feature_flags ENABLE ROW LEVEL SECURITY;
ALTER TABLE feature_flags FORCE ROW LEVEL SECURITY;
ALTER TABLE discord_webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE discord_webhooks FORCE ROW LEVEL SECURITY;
ALTER TABLE requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE requests FORCE ROW LEVEL SECURITY;
ALTER TABLE sagas ENABLE ROW LEVEL SECURITY;
ALTER TABLE sagas FORCE ROW LEVEL SECURITY;
ALTER TABLE saga_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE saga_log FORCE ROW LEVEL SECURITY;
ALTER TABLE events_out ENABLE ROW LEVEL SECURITY;
ALTER TABLE events_out FORCE ROW LEVEL SECURITY;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY;
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
ALTER TABLE effects ENABLE ROW LEVEL SECURITY;
ALTER TABLE effects FORCE ROW LEVEL SECURITY;
ALTER TABLE quota_periods ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota_periods FORCE ROW LEVEL SECURITY;
ALTER TABLE holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE holds FORCE ROW LEVEL SECURITY;
ALTER TABLE model_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_calls FORCE ROW LEVEL SECURITY;
ALTER TABLE leads ENABLE ROW LEVEL SECURITY;
ALTER TABLE leads FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger FORCE ROW LEVEL SECURITY;
ALTER TABLE intents ENABLE ROW LEVEL SECURITY;
ALTER TABLE intents FORCE ROW LEVEL SECURITY;
ALTER TABLE carriers ENABLE ROW LEVEL SECURITY;
ALTER TABLE carriers FORCE ROW LEVEL SECURITY;
ALTER TABLE uncarried ENABLE ROW LEVEL SECURITY;
ALTER TABLE uncarried FORCE ROW LEVEL SECURITY;
ALTER TABLE billing_flags ENABLE ROW LEVEL SECURITY;
ALTER TABLE billing_flags FORCE ROW LEVEL SECURITY;
ALTER TABLE credits ENABLE ROW LEVEL SECURITY;
ALTER TABLE credits FORCE ROW LEVEL SECURITY;
ALTER TABLE refund_permits ENABLE ROW LEVEL SECURITY;
ALTER TABLE refund_permits FORCE ROW LEVEL SECURITY;
ALTER TABLE vendor_turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE vendor_turns FORCE ROW LEVEL SECURITY;
ALTER TABLE reconciliations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliations FORCE ROW LEVEL SECURITY;
ALTER TABLE findings ENABLE ROW LEVEL SECURITY;
ALTER TABLE findings FORCE ROW LEVEL SECURITY;
ALTER TABLE notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE notices FORCE ROW LEVEL SECURITY;
ALTER TABLE work_due ENABLE ROW LEVEL SECURITY;
ALTER TABLE work_due FORCE ROW LEVEL SECURITY;

-- The engine's tables: the engine and operators see all tenants, a dashboard too.
CREATE POLICY engine ON requests TO leadsaga_engine USING (true) WITH CHECK (true);
CREATE POLICY operator ON requests FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY reader ON requests FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY engine ON sagas TO leadsaga_engine USING (true) WITH CHECK (true);
CREATE POLICY operator ON sagas FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY steps ON sagas FOR SELECT TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON sagas FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY engine ON saga_log TO leadsaga_engine USING (true) WITH CHECK (true);
CREATE POLICY operator ON saga_log FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY reader ON saga_log FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY engine ON events_out TO leadsaga_engine USING (true) WITH CHECK (true);
CREATE POLICY operator ON events_out FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY reader ON events_out FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY engine ON orders TO leadsaga_engine USING (true) WITH CHECK (true);
CREATE POLICY operator ON orders TO leadsaga_operator USING (true) WITH CHECK (true);
CREATE POLICY reader ON orders FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY engine ON dead_letters TO leadsaga_engine USING (true) WITH CHECK (true);
CREATE POLICY operator ON dead_letters FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY operator_close ON dead_letters FOR UPDATE TO leadsaga_operator
    USING (status = 'open') WITH CHECK (status = 'resolved');
CREATE POLICY reader ON dead_letters FOR SELECT TO leadsaga_reader USING (true);

-- Tenants: known to all; a step sees only the one it works for.
CREATE POLICY engine ON tenants FOR SELECT TO leadsaga_engine USING (true);
CREATE POLICY steps ON tenants FOR SELECT TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps_store ON tenants FOR INSERT TO leadsaga_steps
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND status = 'provisioning');
CREATE POLICY steps_activate ON tenants FOR UPDATE TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant()) AND status = 'provisioning')
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND status IN ('provisioning', 'active'));
CREATE POLICY steps_remove ON tenants FOR DELETE TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant()) AND status = 'provisioning');
CREATE POLICY operator ON tenants TO leadsaga_operator USING (true) WITH CHECK (true);
CREATE POLICY reader ON tenants FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY steps ON feature_flags TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON feature_flags TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON feature_flags FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON discord_webhooks TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON discord_webhooks TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

-- Content: one tenant at a time, for everybody.
CREATE POLICY steps ON effects TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY bundle ON effects TO leadsaga_steps
    USING ((SELECT current_tenant()) IS NULL AND tenant_id = ANY ((SELECT bundle_tenants())::text[]))
    WITH CHECK ((SELECT current_tenant()) IS NULL AND tenant_id = ANY ((SELECT bundle_tenants())::text[]));
CREATE POLICY operator ON effects FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator_forbid_new ON effects FOR INSERT TO leadsaga_operator
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND direction = 'do' AND state = 'undone');
CREATE POLICY operator_forbid ON effects FOR UPDATE TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant()) AND direction = 'do')
    WITH CHECK (tenant_id = (SELECT current_tenant()) AND direction = 'do' AND state = 'undone');
CREATE POLICY reader ON effects FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON quota_periods TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON quota_periods FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON quota_periods FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON holds TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON holds FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON holds FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON model_calls TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON model_calls FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON model_calls FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON leads TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON leads FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()) AND visible_at IS NOT NULL);
CREATE POLICY reader ON leads FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()) AND visible_at IS NOT NULL);
CREATE POLICY steps ON ledger TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON ledger FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON ledger FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON intents TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON intents FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON intents FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON carriers TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON carriers FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON carriers FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON credits TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON credits FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON credits FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON refund_permits FOR SELECT TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON refund_permits TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON refund_permits FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON uncarried TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON uncarried FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON uncarried FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON reconciliations TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON reconciliations FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON reconciliations FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON findings TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON findings FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON findings FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON notices TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON notices FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON notices FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));

-- Who is flagged: known to all who look after tenants; a step flags only the one it works for.
CREATE POLICY steps ON billing_flags TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON billing_flags FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY reader ON billing_flags FOR SELECT TO leadsaga_reader USING (true);

-- Turns belong to no tenant.
CREATE POLICY steps ON vendor_turns TO leadsaga_steps USING (true) WITH CHECK (true);

-- Who has work that is due: ids and times only. A step that works for no tenant yet finds the due ones of all, and
-- puts their times off while it visits them, by an hour at most; a trigger holds it to the times. One that works for
-- a tenant sees that tenant's rows only, and they alone come and go.
CREATE POLICY steps ON work_due FOR SELECT TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant()) OR (SELECT current_tenant()) IS NULL);
CREATE POLICY steps_claim ON work_due FOR UPDATE TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant()) OR (SELECT current_tenant()) IS NULL AND due_at <= now())
    WITH CHECK (tenant_id = (SELECT current_tenant())
        OR (SELECT current_tenant()) IS NULL AND due_at >= now() AND due_at <= now() + interval '1 hour');
CREATE POLICY steps_add ON work_due FOR INSERT TO leadsaga_steps WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps_remove ON work_due FOR DELETE TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON work_due FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY operator_add ON work_due FOR INSERT TO leadsaga_operator WITH CHECK (due_at <= now());
CREATE POLICY operator_hasten ON work_due FOR UPDATE TO leadsaga_operator USING (true) WITH CHECK (due_at <= now());
CREATE POLICY reader ON work_due FOR SELECT TO leadsaga_reader USING (true);

-- The audit: everybody adds, operators read, nobody changes. The engine speaks for itself and in nobody else's name,
-- a step of the tenant that it works for.
CREATE POLICY engine ON audit FOR INSERT TO leadsaga_engine WITH CHECK (actor = 'orchestrator');
CREATE POLICY steps ON audit FOR INSERT TO leadsaga_steps WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON audit FOR INSERT TO leadsaga_operator WITH CHECK (true);
CREATE POLICY operator_read ON audit FOR SELECT TO leadsaga_operator USING (true);

RESET ROLE;
