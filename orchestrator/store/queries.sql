-- Every statement of the orchestrator. They work on whole groups: parameters are parallel arrays.
-- They run as the role leadsaga_engine, in sessions that never plan to read a whole table (BY_INDEX in contracts/process/postgres.py).
-- Sagas of versions that the process does not know ('lead v2' is not among the known) are passed over, not counted
-- among those that wait, and left to a process of another release; in flight they count like any other.

-- name: admit
-- The status of the tenants that exist, and whether a request is new; one that another group is just writing is waited for.
-- In key order, so that two groups cannot wait for each other. Only active tenants begin anything.
WITH wanted AS (
    SELECT n.tenant_id, n.saga, n.request_id, n.content_hash, n.saga_id, t.status
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[])
        AS n (tenant_id, saga, request_id, content_hash, saga_id)
    JOIN tenants t ON t.tenant_id = n.tenant_id
), remembered AS (
    INSERT INTO requests (tenant_id, saga, request_id, content_hash, saga_id)
    SELECT w.tenant_id, w.saga, w.request_id, w.content_hash, w.saga_id FROM wanted w WHERE w.status = 'active'
    ORDER BY w.tenant_id, w.saga, w.request_id
    ON CONFLICT (tenant_id, saga, request_id) DO NOTHING
    RETURNING saga_id
)
SELECT w.tenant_id, w.saga, w.request_id, w.status, w.saga_id IN (SELECT saga_id FROM remembered) AS new FROM wanted w;

-- name: requests
-- What is remembered of requests.
SELECT r.tenant_id, r.saga, r.request_id, r.content_hash, r.saga_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant_id, saga, request_id)
JOIN requests r ON (r.tenant_id, r.saga, r.request_id) = (k.tenant_id, k.saga, k.request_id);

-- name: load
-- Sagas as they stand; of one whose log is as long as is known, not even that.
-- Nothing is locked: `save` sees whether it is still so.
SELECT s.tenant_id, s.saga_id, s.saga, s.version, s.request_id, s.entries,
       CASE WHEN s.entries <> k.known THEN s.request::text END AS request,
       CASE WHEN s.entries <> k.known THEN s.state::text END AS state
FROM unnest($1::text[], $2::uuid[], $3::int[]) AS k (tenant_id, saga_id, known)
JOIN sagas s ON (s.tenant_id, s.saga_id) = (k.tenant_id, k.saga_id);

-- name: save
-- What a group decided: sagas begin and go on, their logs grow, upstream is to hear of it.
-- One that exists already does not begin; one goes on if its log is as long as expected; unless all of them do, nothing
-- happens. Only this statement writes sagas or logs, so the logs need no reference, which would cost as much as they do.
-- The usual step changes no indexed column: the wake time may stay early.
WITH began AS (
    INSERT INTO sagas (tenant_id, saga_id, saga, version, request_id, request, status, state, entries, in_flight, wake_at,
                       created_at, updated_at)
    SELECT n.tenant_id, n.saga_id, n.saga, n.version, n.request_id, n.request::jsonb, n.status, n.state::jsonb, n.entries,
           n.in_flight, n.wake_at, n.created_at, n.updated_at
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[],
                $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[])
        AS n (tenant_id, saga_id, saga, version, request_id, request, status, state, entries,
              in_flight, wake_at, created_at, updated_at)
    ORDER BY n.tenant_id, n.saga_id
    ON CONFLICT (tenant_id, saga_id) DO NOTHING
    RETURNING saga_id
), went_on AS (
    UPDATE sagas s
    SET status = n.status, state = n.state::jsonb, entries = n.entries, in_flight = n.in_flight, updated_at = n.updated_at,
        wake_at = CASE WHEN n.needed_at IS NULL OR n.status <> s.status THEN n.needed_at
                       ELSE least(s.wake_at, n.needed_at) END
    FROM unnest($14::text[], $15::uuid[], $16::int[], $17::text[], $18::text[], $19::int[], $20::boolean[],
                $21::timestamptz[], $22::timestamptz[])
        AS n (tenant_id, saga_id, before, status, state, entries, in_flight, needed_at, updated_at)
    WHERE (s.tenant_id, s.saga_id) = (n.tenant_id, n.saga_id) AND s.entries = n.before
    RETURNING s.saga_id
), appended AS (
    INSERT INTO saga_log (tenant_id, saga_id, seq, at, kind, entry)
    SELECT n.tenant_id, n.saga_id, n.seq, n.at, n.kind, n.entry::jsonb
    FROM unnest($23::text[], $24::uuid[], $25::int[], $26::timestamptz[], $27::text[], $28::text[])
        AS n (tenant_id, saga_id, seq, at, kind, entry)
), told AS (
    INSERT INTO events_out (event_id, tenant_id, event, body)
    SELECT * FROM unnest($29::uuid[], $30::text[], $31::text[], $32::text[]) AS n (event_id, tenant_id, event, body)
    ORDER BY n.event_id
    ON CONFLICT (event_id) DO NOTHING
)
SELECT expect_all((SELECT count(*) FROM began), cardinality($1)),
       expect_all((SELECT count(*) FROM went_on), cardinality($14));

-- name: history
-- The transaction log of one saga.
SELECT entry::text FROM saga_log WHERE tenant_id = $1 AND saga_id = $2 ORDER BY seq;

-- name: one_starter
-- One group at a time gives turns, until it ends: two that count side by side would both fill the same places.
SELECT pg_advisory_xact_lock(hashtext('leadsaga turns'));

-- name: places
-- Tenants that are asked for, have sagas in flight or wait: how many more may be in flight. Hops from tenant to tenant, however many wait.
WITH RECURSIVE waiting AS (
    (SELECT tenant_id FROM sagas WHERE status = 'waiting' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT s.tenant_id FROM sagas s
            WHERE s.status = 'waiting' AND s.tenant_id > w.tenant_id ORDER BY s.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
), flying AS (
    SELECT tenant_id, count(*)::int AS sagas FROM sagas WHERE in_flight GROUP BY tenant_id
), wanted AS (
    SELECT tenant_id FROM waiting UNION SELECT tenant_id FROM flying UNION SELECT unnest($1::text[])
)
SELECT t.tenant_id, coalesce(f.sagas, 0) AS in_flight, greatest(t.sagas_in_flight - coalesce(f.sagas, 0), 0) AS room,
       (SELECT true FROM sagas s
        WHERE s.tenant_id = t.tenant_id AND s.status = 'waiting' AND s.saga || ' v' || s.version = ANY ($2::text[])
        LIMIT 1) IS NOT NULL AS waits
FROM tenants t
LEFT JOIN flying f USING (tenant_id)
WHERE t.tenant_id IN (SELECT tenant_id FROM wanted);

-- name: turns
-- Locks waiting sagas, so that nobody else begins them: the tenant with the fewest in flight first, the oldest saga first. Ids grow with time.
SELECT turn.tenant_id, taken.saga_id
FROM (
    SELECT k.tenant_id, line.saga_id, k.flying + line.place AS place
    FROM unnest($1::text[], $2::int[], $3::int[]) AS k (tenant_id, share, flying)
    CROSS JOIN LATERAL (
        SELECT w.saga_id, row_number() OVER (ORDER BY w.saga_id) AS place
        FROM (SELECT saga_id FROM sagas WHERE tenant_id = k.tenant_id AND status = 'waiting'
                  AND saga || ' v' || version = ANY ($5::text[])
              ORDER BY tenant_id, saga_id LIMIT k.share) w
    ) line
    ORDER BY k.flying + line.place, line.saga_id
) turn
CROSS JOIN LATERAL (
    SELECT s.saga_id FROM sagas s
    WHERE s.tenant_id = turn.tenant_id AND s.saga_id = turn.saga_id AND s.status = 'waiting'
    FOR NO KEY UPDATE SKIP LOCKED
) taken
ORDER BY turn.place, turn.saga_id
LIMIT $4;

-- name: due
-- Sagas whose wake time has come.
SELECT tenant_id, saga_id FROM sagas WHERE wake_at <= $1 AND saga || ' v' || version = ANY ($3::text[])
ORDER BY wake_at, tenant_id, saga_id LIMIT $2;

-- name: postpone
-- Wake times that were reached too early move to when the saga needs it, as its row says once it is locked.
WITH locked AS (
    SELECT s.tenant_id, s.saga_id
    FROM unnest($1::text[], $2::uuid[]) AS k (tenant_id, saga_id)
    JOIN sagas s ON (s.tenant_id, s.saga_id) = (k.tenant_id, k.saga_id)
    ORDER BY s.tenant_id, s.saga_id
    FOR NO KEY UPDATE OF s
)
UPDATE sagas s
SET wake_at = least((s.state ->> 'due_at')::timestamptz, (s.state ->> 'deadline_at')::timestamptz)
FROM locked
WHERE (s.tenant_id, s.saga_id) = (locked.tenant_id, locked.saga_id) AND s.wake_at <= $3;

-- name: events_before
-- Events that should have left long ago.
SELECT event_id, tenant_id, event, body FROM events_out WHERE created_at < $1 ORDER BY created_at, event_id LIMIT $2;

-- name: delete_events
-- Events that the broker confirmed.
DELETE FROM events_out WHERE event_id = ANY ($1::uuid[]);

-- name: bury
-- Dead letters. One that died before is the same row, seen again now; what became of it then does not settle it again.
INSERT INTO dead_letters AS d (dead_letter_id, tenant_id, saga_id, saga, step, direction, attempt, queue, message_id,
                               error, reason, fingerprint, message, status, routing_key, times_seen)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[],
                     $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::text[], $15::text[],
                     $16::int[])
    AS n (dead_letter_id, tenant_id, saga_id, saga, step, direction, attempt, queue, message_id,
          error, reason, fingerprint, message, status, routing_key, times_seen)
ORDER BY n.queue, n.message_id
ON CONFLICT (queue, message_id) DO UPDATE
SET last_at = now(), times_seen = d.times_seen + excluded.times_seen,
    status = CASE WHEN 'open' IN (excluded.status, d.status) THEN excluded.status ELSE d.status END;

-- name: audit
-- Requests in the name of a tenant by somebody who may not speak for it.
INSERT INTO audit (actor, action, tenant_id, reason, after)
SELECT 'orchestrator', 'refuse sender', n.tenant_id, n.reason,
       jsonb_build_object('routing_key', n.routing_key, 'user', n.sender, 'message_id', n.message_id)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS n (tenant_id, reason, routing_key, sender, message_id);

-- name: close_letters
-- What became of the open dead letters of a saga's commands; a reply that died has nothing to do with it.
UPDATE dead_letters SET status = $3 WHERE tenant_id = $1 AND saga_id = $2 AND status = 'open' AND queue <> $4;

-- name: mark_replayed
-- A dead letter was published again. Should it have died again meanwhile, it stays open.
UPDATE dead_letters SET status = 'replayed' WHERE dead_letter_id = $1 AND status = 'open' AND times_seen = $2;

-- name: open_orders
-- What operators ordered and nobody has taken yet.
SELECT o.order_id, o.tenant_id, o.saga_id, o.kind, o.verdict, o.actor, o.reason,
       o.step AS at_step, o.direction AS at_direction, o.attempt AS at_attempt, o.dead_letter_id,
       d.tenant_id AS letter_tenant_id, d.saga_id AS letter_saga_id, d.saga, d.step, d.direction, d.attempt, d.queue,
       d.message_id, d.error, d.reason AS letter_reason, d.message, d.status, d.routing_key, d.times_seen
FROM orders o
LEFT JOIN sagas s USING (tenant_id, saga_id)
LEFT JOIN dead_letters d USING (dead_letter_id)
WHERE o.taken_at IS NULL AND (o.saga_id IS NULL OR s.saga || ' v' || s.version = ANY ($2::text[]))
ORDER BY o.created_at, o.order_id LIMIT $1;

-- name: finish_orders
-- What became of orders. The first result stands.
UPDATE orders o SET taken_at = now(), result = n.result
FROM unnest($1::uuid[], $2::text[]) AS n (order_id, result)
WHERE o.order_id = n.order_id AND o.taken_at IS NULL;

-- name: gauges
-- Counts over all tenants, for metrics.
SELECT (SELECT count(*) FROM sagas WHERE status = 'waiting') AS waiting,
       (SELECT count(*) FROM sagas WHERE in_flight) AS in_flight,
       (SELECT count(*) FROM sagas WHERE status = 'parked') AS parked,
       (SELECT count(*) FROM dead_letters WHERE status = 'open') AS open_dead_letters,
       (SELECT count(*) FROM events_out) AS events_waiting,
       (SELECT min(created_at) FROM sagas WHERE status IN ('waiting', 'running', 'unwinding')) AS oldest_unfinished;
