"""A saga with all that its steps keep."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import NOON, begin, done, incoming, start, tell

INTENT = UUID("0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
PROVIDER = "req_011CSHoEeqs5C35K2UUqR7Fy"
HOSTILE = "[bold red]pwned[/] :smile: \x1b[2J\x1b]0;owned\x07 \u202eevil\u202c\nsecond line"


async def saga_with_content(world: PostgresWorld) -> UUID:
    """A lead saga that has recorded two leads, with all that its steps keep."""
    ((_, made),) = await begin(world, incoming(1))
    await tell(world, [("acme", made)], start(), done("reserve_quota", NOON + timedelta(seconds=1)))
    ledger = uuid4()
    run = world.owner.pool.execute
    await run(
        "INSERT INTO effects (tenant_id, saga_id, step, direction, state, attempt, answered, answer, outside)"
        " VALUES ('acme', $1, 'report_to_stripe', 'do', 'done', 1, 1, $2::text::jsonb, $3::text::jsonb)",
        made,
        '{"kind": "done"}',
        json.dumps({"stripe_identifier": f"acme-{INTENT}", "intent_id": str(INTENT)}),
    )
    for number, company in enumerate(["Cycles & Co", HOSTILE]):
        await run(
            "INSERT INTO leads (tenant_id, lead_id, saga_id, part, dedupe_key, company, website,"
            " contact_name, contact_title, email, country, reason, score, visible_at)"
            " VALUES ('acme', $1, $2, 1, $3, $4, 'https://c.example',"
            " 'Kim', 'CEO', 'kim@c.example', 'DE', 'fits', 80, now())",
            uuid4(),
            made,
            str(number),
            company,
        )
    await run(
        "INSERT INTO leads (tenant_id, lead_id, saga_id, part, dedupe_key, company, website, contact_name,"
        " contact_title, email, country, reason, score) VALUES ('acme', $1, $2, 1, 'draft', 'Draft Ltd', '',"
        " '', '', '', '', '', 1)",
        uuid4(),
        made,
    )
    await run(
        "INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price, currency,"
        " event_name, period_start) VALUES ('acme', $1, $2, 'r-1', 'usage', 2, 0.4, 'eur', 'leads_delivered',"
        " '2026-11-01Z')",
        ledger,
        made,
    )
    await run(
        "INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start,"
        " value, state) VALUES ('acme', $1, $2, 'cus_1', 'leads_delivered', now(), '2026-11-01Z', 2,"
        " 'confirmed')",
        INTENT,
        f"acme-{INTENT}",
    )
    await run("INSERT INTO carriers VALUES ('acme', $1, $2)", ledger, INTENT)
    await run(
        "INSERT INTO notices (tenant_id, notice_id, saga_id, event, title, body) VALUES"
        " ('acme', $1, $2, 'completed', $3, '')",
        uuid4(),
        made,
        HOSTILE,
    )
    return made


async def model_calls(world: PostgresWorld, saga: UUID) -> None:
    """One that was answered, one that failed, and one that nobody saw the end of."""
    run = world.owner.pool.execute
    await run(
        "INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, outcome, model, provider_id,"
        " input_tokens, output_tokens, cost_usd, seconds, leads, started_at) VALUES ('acme', $1, $2, 1, 1,"
        " 'answered', 'claude-sonnet-5-5', $3, 1200, 3400, 0.0546, 7.25, 2, '2026-11-21 12:00Z')",
        uuid4(),
        saga,
        PROVIDER,
    )
    await run(
        "INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, outcome, model, error, seconds,"
        " started_at) VALUES ('acme', $1, $2, 1, 2, 'timed_out', 'claude-sonnet-5-5', 'TimedOut', 30,"
        " '2026-11-21 12:01Z')",
        uuid4(),
        saga,
    )
    await run(
        "INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, outcome, started_at)"
        " VALUES ('acme', $1, $2, 2, 2, 'begun', '2026-11-21 12:02Z')",
        uuid4(),
        saga,
    )
