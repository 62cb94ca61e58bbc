-- Tables as they are after :rows sagas have ended; one row or a few of each in every table that grows with them.
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota) VALUES ('p', 1, 'eur', 1000);
INSERT INTO tenants (tenant_id, name, plan_id) SELECT 't-' || n, 'T', 'p' FROM generate_series(0, 9) n;
SET session_replication_role = replica;
CREATE TEMP TABLE past AS
    SELECT 't-' || n % 10 AS tenant_id, lpad(to_hex(n), 32, '0')::uuid AS id, n FROM generate_series(1, :rows) n;
INSERT INTO requests SELECT tenant_id, 'lead', 'r-' || n, '', id FROM past;
INSERT INTO sagas (tenant_id, saga_id, saga, version, request_id, request, status, state, entries)
    SELECT tenant_id, id, 'lead', 1, 'r-' || n, '{}', 'completed', '{}', 3 FROM past;
INSERT INTO saga_log SELECT tenant_id, id, seq, now(), 'started', '{}' FROM past, generate_series(1, 3) seq;
INSERT INTO dead_letters (dead_letter_id, tenant_id, saga_id, queue, message_id, error, reason, fingerprint, message,
                          status)
    SELECT id, tenant_id, id, 'q', n::text, 'E', '', '', '', 'resolved' FROM past;
INSERT INTO effects (tenant_id, saga_id, step, direction, state, attempt, answered, answer)
    SELECT tenant_id, id, step, 'do', 'done', 1, 1, '{}' FROM past, unnest('{a,b,c}'::text[]) AS step;
INSERT INTO holds SELECT tenant_id, id, now(), 1, 'settled' FROM past;
INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, outcome)
    SELECT tenant_id, id, id, 1, 0, 'begun' FROM past;
INSERT INTO leads (tenant_id, lead_id, saga_id, part, dedupe_key, company, website, contact_name, contact_title, email,
                   country, reason, score, visible_at)
    SELECT tenant_id, id, id, 0, 'k', '', '', '', '', '', '', '', 1, now() FROM past;
INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price, currency, event_name,
                    period_start)
    SELECT tenant_id, id, id, 'r-' || n, 'usage', 1, 1, 'eur', 'e', now() FROM past;
INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start, value,
                     state)
    SELECT tenant_id, id, n::text, 'c', 'e', now(), now(), 1, 'confirmed' FROM past;
INSERT INTO carriers SELECT tenant_id, id, id FROM past;
INSERT INTO notices (tenant_id, notice_id, saga_id, event, title, body, state)
    SELECT tenant_id, id, id, 'completed', '', '', 'sent' FROM past;
RESET session_replication_role;
ANALYZE;
