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

-- A tenant's monthly billing periods are counted from `anchor`, in UTC. One that began on a 31st ends with shorter
-- months: nothing falls between two periods. `number` 0 is the first one.
CREATE FUNCTION period_begin(anchor timestamptz, number int) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (anchor AT TIME ZONE 'UTC' + make_interval(months => number)) AT TIME ZONE 'UTC' $$;

CREATE FUNCTION period_number(anchor timestamptz, at timestamptz) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = leadsaga
    AS $$
    WITH calendar AS (
        SELECT (12 * (extract(year FROM at AT TIME ZONE 'UTC') - extract(year FROM anchor AT TIME ZONE 'UTC'))
                + extract(month FROM at AT TIME ZONE 'UTC') - extract(month FROM anchor AT TIME ZONE 'UTC'))::int AS months
    )
    SELECT months - CASE WHEN period_begin(anchor, months) > at THEN 1 ELSE 0 END FROM calendar
    $$;

-- Start and end (which is the start of the next) of the billing period that contains `at`.
CREATE FUNCTION period_start(anchor timestamptz, at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = leadsaga
    AS $$ SELECT period_begin(anchor, period_number(anchor, at)) $$;

CREATE FUNCTION period_end(anchor timestamptz, at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = leadsaga
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

-- What is sold, and for how much.
CREATE TABLE plans (
    plan_id         text PRIMARY KEY CHECK (plan_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    price_per_lead  numeric(12, 4) NOT NULL CHECK (price_per_lead >= 0 AND price_per_lead <> 'NaN'),  -- in `currency`
    currency        text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),        -- ISO 4217, lower case as Stripe writes it
    monthly_quota   int NOT NULL CHECK (monthly_quota >= 0),              -- leads per billing period
    overage         boolean NOT NULL DEFAULT false,                       -- may usage exceed the quota?
    event_name      text NOT NULL DEFAULT 'leads_delivered'               -- of the Stripe meter
);
GRANT SELECT ON plans TO leadsaga_engine, leadsaga_steps, leadsaga_reader;
GRANT SELECT, INSERT, UPDATE ON plans TO leadsaga_operator;

CREATE TABLE tenants (
    tenant_id        text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name             text NOT NULL,
    status           text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    plan_id          text NOT NULL REFERENCES plans,
    billing_anchor   timestamptz NOT NULL DEFAULT date_trunc('month', now()),
    stripe_customer  text,                                               -- cus_...; NULL until known
    sagas_in_flight  int NOT NULL DEFAULT 50 CHECK (sagas_in_flight > 0),  -- at most; the rest waits its turn
    model_calls      int NOT NULL DEFAULT 4 CHECK (model_calls > 0),       -- at most, side by side
    created_at       timestamptz NOT NULL DEFAULT now()
);

-- Where a tenant is told. The URL is a secret: whoever has it can post.
CREATE TABLE discord_webhooks (
    tenant_id        text PRIMARY KEY REFERENCES tenants,
    url              text NOT NULL,
    disabled_at      timestamptz,
    disabled_reason  text,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
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

-- The transaction log: append-only, gap-free per saga.
CREATE TABLE saga_log (
    tenant_id  text NOT NULL,
    saga_id    uuid NOT NULL,
    seq        int NOT NULL CHECK (seq > 0),
    at         timestamptz NOT NULL,
    kind       text NOT NULL,
    entry      jsonb NOT NULL,
    PRIMARY KEY (tenant_id, saga_id, seq),
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas
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

-- What operators ordered. The engine takes an order as news and writes its result; the tool waits for it.
CREATE TABLE orders (
    order_id    uuid PRIMARY KEY,
    tenant_id   text NOT NULL,
    saga_id     uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('cancel', 'replay', 'resolve')),
    verdict     text CHECK (verdict IN ('done', 'not_done')),
    actor       text NOT NULL,
    reason      text NOT NULL CHECK (length(reason) > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    taken_at    timestamptz,
    result      text,                                                    -- 'done', or why it was refused
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas,
    CHECK ((kind = 'resolve') = (verdict IS NOT NULL)),
    CHECK ((taken_at IS NULL) = (result IS NULL))
);
CREATE INDEX orders_open ON orders (created_at) WHERE taken_at IS NULL;

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
    UNIQUE (queue, message_id),
    CHECK (saga_id IS NULL OR tenant_id IS NOT NULL)
);
CREATE INDEX dead_letters_open ON dead_letters (tenant_id, saga_id) WHERE status = 'open';

-- Who changed or looked at what, when and why. Append-only.
CREATE TABLE audit (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    action     text NOT NULL,
    tenant_id  text,
    saga_id    uuid,
    reason     text NOT NULL DEFAULT '',
    before     jsonb,
    after      jsonb
);

------------------------------------------------------------------------------------------------ steps

-- What each step did or answered for a saga. Every transaction that writes for a step locks its row first.
CREATE TABLE effects (
    tenant_id   text NOT NULL,
    saga_id     uuid NOT NULL,
    step        text NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('do', 'undo')),
    state       text NOT NULL DEFAULT 'open' CHECK (state IN (
        'open',    -- asked, perhaps partly done
        'done',    -- took effect
        'undone'   -- taken back, or forbidden before it happened
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
    kind       text NOT NULL CHECK (kind IN ('flush', 'notices')),
    tenant_id  text NOT NULL REFERENCES tenants,
    due_at     timestamptz NOT NULL,
    weight     int NOT NULL DEFAULT 0,                                   -- leads or notices that wait
    since      timestamptz NOT NULL DEFAULT now(),                       -- the oldest work has waited since
    version    bigint NOT NULL DEFAULT 1,                                -- bumped by whoever adds work
    PRIMARY KEY (kind, tenant_id)
);
CREATE INDEX work_due_next ON work_due (kind, due_at);

-- A tenant's use of a billing period. The row is the lock that reservations queue up for.
CREATE TABLE quota_periods (
    tenant_id     text NOT NULL REFERENCES tenants,
    period_start  timestamptz NOT NULL,
    used          int NOT NULL DEFAULT 0 CHECK (used >= 0),              -- leads delivered, less those given back
    held          int NOT NULL DEFAULT 0 CHECK (held >= 0),              -- leads promised to live sagas
    PRIMARY KEY (tenant_id, period_start)
);

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

-- The reversals of a usage row never exceed it, also when two arrive at once: the lock makes them queue up.
CREATE FUNCTION refuse_excess_reversal() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga
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
        'missing',     -- Stripe surely does not have it
        'rejected'     -- Stripe refused it; an operator decides
    )),
    attempts         int NOT NULL DEFAULT 0,
    key_generation   int NOT NULL DEFAULT 1,                             -- of the idempotency key: rotated after a stored 5xx
    -- Not sent again before; while a call is under way, when it is surely over. Of a rejected one: an
    -- operator wants it tried again.
    retry_at         timestamptz,
    error            text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    first_sent_at    timestamptz,                                        -- the first call that Stripe may have taken
    first_key        int,                                                -- the key_generation of that call
    settled_at       timestamptz,
    PRIMARY KEY (tenant_id, intent_id),
    UNIQUE (tenant_id, identifier),
    FOREIGN KEY (tenant_id) REFERENCES tenants
);
-- At most one send under way per customer and meter.
CREATE UNIQUE INDEX intents_one_in_flight ON intents (tenant_id, event_name)
    WHERE state IN ('pending', 'sending', 'ambiguous');
CREATE INDEX intents_asked_again ON intents (tenant_id, event_name) WHERE state = 'rejected' AND retry_at IS NOT NULL;

-- What brings a ledger row to Stripe: exactly one carrier each, claimed in the transaction that makes it.
CREATE TABLE carriers (
    tenant_id  text NOT NULL,
    ledger_id  uuid NOT NULL,
    intent_id  uuid NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id),
    FOREIGN KEY (tenant_id, ledger_id) REFERENCES ledger,
    FOREIGN KEY (tenant_id, intent_id) REFERENCES intents
);
CREATE INDEX carriers_of_intent ON carriers (tenant_id, intent_id);

-- The ledger rows that have no carrier yet, so that a flush need not search the whole ledger for them. Kept by
-- the two triggers alone: nobody can forget a row.
CREATE TABLE uncarried (
    tenant_id  text NOT NULL,
    ledger_id  uuid NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id),
    FOREIGN KEY (tenant_id, ledger_id) REFERENCES ledger
);
CREATE FUNCTION await_carrier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga
    AS $$ BEGIN
        INSERT INTO uncarried SELECT tenant_id, ledger_id FROM added;
        RETURN NULL;
    END $$;
CREATE TRIGGER ledger_awaits_carrier AFTER INSERT ON ledger
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION await_carrier();
CREATE FUNCTION end_wait_for_carrier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga
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
    saga_id     uuid NOT NULL,
    event       text NOT NULL CHECK (event IN ('completed', 'failed', 'parked', 'refunded')),
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
    FOREIGN KEY (tenant_id, saga_id) REFERENCES sagas
);
CREATE INDEX notices_open ON notices (tenant_id, created_at) WHERE state IN ('waiting', 'sending');

------------------------------------------------------------------------- grants: what each role may do

GRANT SELECT (tenant_id, status, sagas_in_flight) ON tenants TO leadsaga_engine;
GRANT SELECT, INSERT ON requests TO leadsaga_engine;
GRANT SELECT, INSERT, UPDATE ON sagas TO leadsaga_engine;
GRANT SELECT, INSERT ON saga_log TO leadsaga_engine;
GRANT SELECT, INSERT, DELETE ON events_out TO leadsaga_engine;
GRANT SELECT, UPDATE ON orders TO leadsaga_engine;
GRANT SELECT, INSERT, UPDATE ON dead_letters TO leadsaga_engine;
GRANT INSERT ON audit TO leadsaga_engine;

GRANT SELECT ON tenants TO leadsaga_steps;
GRANT SELECT, UPDATE ON discord_webhooks TO leadsaga_steps;
GRANT SELECT, INSERT, UPDATE ON effects, quota_periods, holds, model_calls, leads, intents, notices TO leadsaga_steps;
GRANT SELECT, INSERT, DELETE, UPDATE (due_at, weight, since, version) ON work_due TO leadsaga_steps;
GRANT DELETE ON leads TO leadsaga_steps;
GRANT SELECT, INSERT ON ledger, carriers TO leadsaga_steps;
GRANT SELECT, INSERT, DELETE ON uncarried TO leadsaga_steps;
GRANT UPDATE (reason) ON ledger TO leadsaga_steps;  -- row locks need it; a trigger refuses every update
GRANT INSERT ON audit TO leadsaga_steps;

GRANT SELECT, INSERT, UPDATE ON tenants TO leadsaga_operator;
GRANT SELECT (tenant_id, disabled_at, disabled_reason), INSERT, UPDATE ON discord_webhooks TO leadsaga_operator;
GRANT SELECT ON requests, sagas, saga_log, events_out, dead_letters, effects, quota_periods, holds, model_calls,
    leads, ledger, intents, carriers, uncarried, notices, work_due, audit TO leadsaga_operator;
GRANT SELECT, INSERT ON orders TO leadsaga_operator;
GRANT UPDATE (status) ON dead_letters TO leadsaga_operator;  -- to close one that belongs to no parked saga
GRANT INSERT ON audit TO leadsaga_operator;

GRANT SELECT ON tenants, requests, sagas, saga_log, events_out, orders, dead_letters, effects, quota_periods, holds,
    model_calls, leads, ledger, intents, carriers, uncarried, notices, work_due TO leadsaga_reader;

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = leadsaga
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER saga_log_append_only BEFORE UPDATE OR DELETE ON saga_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_change();

---------------------------------------------------------- row-level security: which rows each role may see

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
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
CREATE POLICY operator ON tenants TO leadsaga_operator USING (true) WITH CHECK (true);
CREATE POLICY reader ON tenants FOR SELECT TO leadsaga_reader USING (true);
CREATE POLICY steps ON discord_webhooks TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON discord_webhooks TO leadsaga_operator
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

-- Content: one tenant at a time, for everybody.
CREATE POLICY steps ON effects TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON effects FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
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
CREATE POLICY steps ON uncarried TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON uncarried FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON uncarried FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps ON notices TO leadsaga_steps
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON notices FOR SELECT TO leadsaga_operator USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY reader ON notices FOR SELECT TO leadsaga_reader USING (tenant_id = (SELECT current_tenant()));

-- Who has work that is due: ids and times only. A step finds the due ones of all tenants and puts their times
-- off while it visits them; rows come and go for the tenant that it works for alone.
CREATE POLICY steps ON work_due FOR SELECT TO leadsaga_steps USING (true);
CREATE POLICY steps_claim ON work_due FOR UPDATE TO leadsaga_steps USING (true);
CREATE POLICY steps_add ON work_due FOR INSERT TO leadsaga_steps WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY steps_remove ON work_due FOR DELETE TO leadsaga_steps USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY operator ON work_due FOR SELECT TO leadsaga_operator USING (true);
CREATE POLICY reader ON work_due FOR SELECT TO leadsaga_reader USING (true);

-- The audit: everybody adds, operators read, nobody changes.
CREATE POLICY engine ON audit FOR INSERT TO leadsaga_engine WITH CHECK (true);
CREATE POLICY steps ON audit FOR INSERT TO leadsaga_steps WITH CHECK (true);
CREATE POLICY operator ON audit FOR INSERT TO leadsaga_operator WITH CHECK (true);
CREATE POLICY operator_read ON audit FOR SELECT TO leadsaga_operator USING (true);

RESET ROLE;
