-- State of the sandbox. Times are seconds since the epoch by the sandbox's own clock (setting now_offset_seconds).
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- Every request received, whatever became of it; status is NULL while under way and for a dropped connection.
CREATE TABLE IF NOT EXISTS call (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL, body TEXT NOT NULL,
    received_at REAL NOT NULL, idempotency_key TEXT, identifier TEXT,
    fault INTEGER, status INTEGER, dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS call_route ON call (route, seq);

-- Ordered faults; remaining NULL = for ever; drawn counts how often the fault's chance was rolled.
CREATE TABLE IF NOT EXISTS fault (
    id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, remaining INTEGER, drawn INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS stripe_object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, id TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS stripe_object_kind ON stripe_object (kind, owner, seq);

-- value is a decimal number as text; meter NULL = accepted but dropped, as nobody had made that meter.
CREATE TABLE IF NOT EXISTS meter_event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    identifier TEXT NOT NULL, event_name TEXT NOT NULL, meter TEXT, customer TEXT NOT NULL, value TEXT NOT NULL,
    timestamp INTEGER NOT NULL, received_at REAL NOT NULL, cancelled_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS meter_event_identifier ON meter_event (identifier, received_at);
CREATE INDEX IF NOT EXISTS meter_event_usage ON meter_event (meter, customer, timestamp);

CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, stored_at REAL NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS discord_webhook (id TEXT PRIMARY KEY, token TEXT NOT NULL) STRICT;
-- A webhook's rate limit: calls taken since its window opened.
CREATE TABLE IF NOT EXISTS discord_bucket (webhook TEXT PRIMARY KEY, opened_at REAL NOT NULL, used INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS discord_message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, webhook TEXT NOT NULL, received_at REAL NOT NULL, body TEXT NOT NULL
) STRICT;
