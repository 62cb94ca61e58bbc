"""Operators' refunds: foreseen without a trace, asked for with one."""

import json
from typing import Any

import pytest

from orchestrator.operate.errors import Exit
from tests.integration.operate.conftest import Audit, Tool
from tests.integration.operate.content import saga_with_content
from tests.kit.store_postgres import PostgresWorld

REFUND = ("refund", "r-1", "--tenant", "acme")


async def foreseen(operator: Tool, *options: object) -> tuple[int, dict[str, Any]]:
    ran = await operator(*REFUND, *options, "--dry-run", "--json")
    return ran.code, ran.json


async def test_a_dry_run_tells_what_it_would_give_back_and_leaves_no_trace(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    await saga_with_content(world)
    code, found = await foreseen(operator, "--leads", 1, "--withdraw-leads")
    assert (Exit.OK, 2, 1, "0.40 eur", "") == (
        code,
        *(found[name] for name in ("billed", "leads", "price", "refused")),
    )
    assert (1, 1) == (found["withdrawn"], found["quota_returned"])
    assert found["instrument"].startswith("nets out with the next report")
    assert [] == await audit()
    shown = await operator(*REFUND, "--dry-run", "--keep-quota")
    assert ("2 leads, sold for 0.80 eur" in shown.out, "kept" in shown.out) == (True, True)


async def test_a_dry_run_says_what_would_be_refused(world: PostgresWorld, operator: Tool) -> None:
    await saga_with_content(world)
    code, found = await foreseen(operator, "--leads", 3)
    assert (Exit.FAILED, "2 leads were billed and 0 of them are refunded already") == (code, found["refused"])

    await age(world, 31)
    code, found = await foreseen(operator)
    assert (Exit.FAILED, True) == (code, "delivered 31 days ago, and 30 are allowed" in found["refused"])
    assert Exit.OK == (await foreseen(operator, "--beyond-window"))[0]


async def test_what_is_asked_for_is_audited_before_it_is_asked(
    world: PostgresWorld, operator: Tool, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSAGA_AMQP_URL", "amqp://127.0.0.1:1/")
    asked = (*REFUND, "--leads", 1, "--reason", "bounced", "--evidence", "ticket 7", "--refund-id", "f-1")
    assert Exit.UNAVAILABLE == (await operator(*asked, "--beyond-window")).code

    (row,) = await audit()
    said = json.loads(row["after"])
    assert ("ann", "refund", "acme", "bounced") == tuple(
        row[name] for name in ("actor", "action", "tenant_id", "reason")
    )
    assert ("f-1", 1, "ticket 7", True) == tuple(
        said[name] for name in ("refund_id", "leads", "evidence", "beyond_window")
    )
    permits = await world.owner.pool.fetch("SELECT refund_id, actor, reason FROM refund_permits")
    assert [("f-1", "ann", "bounced")] == [tuple(permit) for permit in permits]


async def test_without_a_reason_or_a_known_tenant_nothing_is_asked_for(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    assert Exit.USAGE == (await operator(*REFUND)).code
    unknown = await operator("refund", "r-1", "--tenant", "nobody", "--reason", "bounced")
    assert (Exit.NOT_FOUND, []) == (unknown.code, await audit())


async def test_show_tells_which_credit_gave_a_refund_back(world: PostgresWorld, operator: Tool) -> None:
    made = await saga_with_content(world)
    run = world.owner.pool.execute
    await run(
        "INSERT INTO sagas SELECT tenant_id, gen_random_uuid(), 'refund', version, 'f-1', request, status,"
        " state, entries FROM sagas WHERE saga_id = $1",
        made,
    )
    await run(
        "INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, original_id, unit_price,"
        " currency, event_name, period_start) SELECT l.tenant_id, gen_random_uuid(), s.saga_id, 'r-1',"
        " 'reversal', -1, l.ledger_id, l.unit_price, l.currency, l.event_name, l.period_start"
        " FROM ledger l, sagas s WHERE s.saga = 'refund'"
    )
    await run(
        "INSERT INTO credits (tenant_id, credit_id, ledger_id, instrument, customer, invoice, invoice_line,"
        " invoice_status, leads, amount, tax, currency, state, stripe_id) SELECT tenant_id,"
        " gen_random_uuid(), ledger_id, 'credit_note', 'cus_1', 'in_1', 'il_1', 'paid', 1, 40, 8, 'eur',"
        " 'confirmed', 'cn_1'"
        " FROM ledger WHERE kind = 'reversal'"
    )
    await run(
        "INSERT INTO carriers (tenant_id, ledger_id, credit_id)"
        " SELECT tenant_id, ledger_id, credit_id FROM credits"
    )
    shown = await operator("show", str(made), "--tenant", "acme")
    assert "credit_note cn_1 of in_1 (48 eur, smallest unit)" in shown.out, shown.out + shown.err


async def age(world: PostgresWorld, days: int) -> None:
    async with world.owner.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE ledger SET occurred_at = now() - make_interval(days => $1)", days)
