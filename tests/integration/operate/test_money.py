"""Reconciling on demand, terms with dates, rates and margins, as operators see them."""

import asyncio
import json

import pytest

from tests.integration.operate.conftest import Audit, Tool
from tests.kit.sandbox import until
from tests.kit.store_postgres import PostgresWorld

pytestmark = pytest.mark.services

REASON = ("--reason", "because")

_COMPARED = """
UPDATE work_due SET since = clock_timestamp(), due_at = now() + interval '1 hour'
WHERE kind = 'reconcile' AND due_at <= now()
"""
_PAGE = """
INSERT INTO reconciliations (tenant_id, event_name, period_start, compared_at, ledger, told, under_way,
    refused, by_hand, credited, counted, unread)
VALUES ('acme', 'leads', '2026-11-01', $1, 7, 5, 0, 2, 0, 0, $2, $3)
"""
_FINDING = """
INSERT INTO findings (tenant_id, finding_id, kind, subject, expected, found, reason, sagas)
VALUES ('acme', gen_random_uuid(), 'counted', 'leads 2026-11-01 cus_1', 5, 4, 'lost there',
        ARRAY[gen_random_uuid()])
"""


async def compared(world: PostgresWorld) -> None:
    """What the process that owns Stripe does once it is asked."""

    async def asked() -> bool:
        return bool(await world.owner.pool.execute(_COMPARED) != "UPDATE 0")

    await until(asked, 20)


async def page(world: PostgresWorld, counted: int = 5, unread: str | None = None) -> None:
    later = await world.owner.pool.fetchval("SELECT now() + interval '1 minute'")
    await world.owner.pool.execute(_PAGE, later, counted, unread)


async def test_books_that_agree_end_with_0_and_say_what_is_parked(
    world: PostgresWorld, operator: Tool
) -> None:
    await page(world)
    said, _ = await asyncio.gather(operator("reconcile"), compared(world))
    assert 0 == said.code
    assert "1 pages, 0 differences; 2 leads that Stripe refused are parked: clean" in said.out


async def test_a_difference_ends_with_1_and_names_its_sagas(world: PostgresWorld, operator: Tool) -> None:
    await page(world, counted=4)
    await world.owner.pool.execute(_FINDING)
    said, _ = await asyncio.gather(operator("reconcile", "--tenant", "acme", "--json"), compared(world))
    (finding,) = said.json["findings"]
    saga = await world.owner.pool.fetchval("SELECT sagas[1]::text FROM findings")
    assert (1, False, "counted", [saga]) == (said.code, said.json["clean"], finding["kind"], finding["sagas"])


async def test_what_could_not_be_compared_is_not_clean(world: PostgresWorld, operator: Tool) -> None:
    await page(world, unread="RateLimitError")
    said = await operator("reconcile", "--tenant", "acme")
    assert 1 == said.code
    assert "1 could not be compared with Stripe" in said.out
    assert said.out.strip().endswith("NOT clean")


async def test_a_difference_that_has_gone_is_told_no_more(world: PostgresWorld, operator: Tool) -> None:
    await world.owner.pool.execute(_FINDING)
    await world.owner.pool.execute("UPDATE findings SET resolved_at = now()")
    said, _ = await asyncio.gather(operator("reconcile"), compared(world))
    assert 0 == said.code


async def test_nobody_who_compares_is_a_time_out_and_it_stays_asked(
    world: PostgresWorld, operator: Tool
) -> None:
    said = await operator("reconcile", "--tenant", "acme", "--wait", "0.3")
    assert (4, True) == (said.code, said.err.startswith("acme: not reconciled in 0.3 s"))
    assert await world.owner.pool.fetchval("SELECT due_at <= now() FROM work_due WHERE kind = 'reconcile'")


async def test_a_tenant_that_is_unknown_is_not_found(world: PostgresWorld, operator: Tool) -> None:
    assert 3 == (await operator("reconcile", "--tenant", "nobody")).code
    assert 3 == (await operator("margin", "--tenant", "nobody")).code


async def test_new_terms_keep_what_is_not_said_and_are_audited(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    first = await operator(
        "plans", "set", "basic", "--from", "2030-01-01", "--price", "0.80", *REASON, "--json"
    )
    second = await operator(
        "plans", "set", "basic", "--from", "2031-01-01", "--quota", "9", *REASON, "--json"
    )
    assert ("0.8000", "2030-01-01T00:00:00+00:00") == (first.json["price_per_lead"], first.json["valid_from"])
    assert ("0.8000", 9) == (second.json["price_per_lead"], second.json["monthly_quota"])
    listed = (await operator("plans", "list", "--json")).json
    assert [None, "2030", "2031"] == [each["valid_from"] and each["valid_from"][:4] for each in listed]
    rows = await audit()
    assert ["set plan terms"] * 2 == [row["action"] for row in rows]
    assert ("because", "0.8000") == (rows[0]["reason"], json.loads(rows[0]["after"])["price_per_lead"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("basic", "--from", "2020-01-01", "--price", "1", *REASON), 1),
        (("basic", "--price", "1", "--reason", " "), 1),
        (("basic", *REASON), 2),
        (("basic", "--price", "NaN", *REASON), 2),
        (("basic", "--price", "-1", *REASON), 2),
        (("basic", "--currency", "Euro", *REASON), 2),
        (("basic", "--from", "tomorrow", "--price", "1", *REASON), 2),
        (("nothing", "--price", "1", *REASON), 3),
    ],
)
async def test_terms_that_make_no_sense_are_refused(
    world: PostgresWorld, operator: Tool, arguments: tuple[str, ...], code: int
) -> None:
    assert code == (await operator("plans", "set", *arguments)).code
    assert 1 == len((await operator("plans", "list", "--json")).json)


async def test_another_price_is_another_one_at_stripe(world: PostgresWorld, operator: Tool) -> None:
    await operator("plans", "set", "basic", "--from", "2030-01-01", "--stripe-price", "price_1", *REASON)
    kept = await operator("plans", "set", "basic", "--from", "2031-01-01", "--quota", "9", *REASON, "--json")
    gone = await operator("plans", "set", "basic", "--from", "2032-01-01", "--price", "2", *REASON, "--json")
    assert ("price_1", None) == (kept.json["stripe_price"], gone.json["stripe_price"])


async def test_a_second_set_of_terms_for_the_same_moment_is_refused(
    world: PostgresWorld, operator: Tool
) -> None:
    again = ("plans", "set", "basic", "--from", "2030-01-01", "--quota", "9", *REASON)
    assert [0, 1] == [(await operator(*again)).code for _ in range(2)]


async def test_rates_are_set_listed_audited_and_corrected(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    for usd in ("1.10", "1.20"):
        assert 0 == (await operator("rates", "set", "eur", usd, "--from", "2026-11-01", *REASON)).code
    (rate,) = (await operator("rates", "list", "--json")).json
    assert ("eur", "2026-11-01", "1.200000000") == (rate["currency"], rate["valid_from"], rate["usd"])
    assert [None, "1.100000000"] == [
        row["before"] and json.loads(row["before"])["usd"] for row in await audit()
    ]
    assert [2, 2] == [(await operator("rates", "set", "eur", usd, *REASON)).code for usd in ("0", "much")]


async def test_a_margin_is_shown_by_tenant_and_day(world: PostgresWorld, operator: Tool) -> None:
    await world.owner.pool.execute(
        "INSERT INTO sagas (tenant_id, saga_id, saga, version, request_id, request, status, state, entries)"
        " VALUES ('acme', gen_random_uuid(), 'lead', 1, 'r', '{}', 'completed', '{}', 1)"
    )
    await world.owner.pool.execute(
        "INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price, currency,"
        " event_name, period_start)"
        " SELECT 'acme', gen_random_uuid(), saga_id, 'r', 'usage', 4, 0.5, 'eur', 'x', now() FROM sagas"
    )
    assert "no rate" in (await operator("margin", "--tenant", "acme")).out
    await operator("rates", "set", "eur", "1.5", *REASON)
    (day,) = (await operator("margin", "--since", "2d", "--json")).json
    assert (4, 3.0) == (day["leads"], float(day["margin_usd"]))
    (period,) = (await operator("usage", "--json")).json
    assert (2.0, "eur") == (float(period["amount"]), period["currency"])
