"""Whatever goes wrong between ledger, sends and Stripe, the next reconciliation names it, and the sagas."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from contracts.errors import StepTransient
from steps import reserve_quota
from steps.billing.flush import flush_tenant
from steps.billing.reconcile import reconcile_tenant
from steps.work.rounds import Rounds, SideBySide
from tests.kit.books import Books
from tests.kit.books import books as opened
from tests.kit.ledger import Ledger

pytestmark = pytest.mark.services

SHARES = ("ledger", "told", "under_way", "refused", "by_hand", "credited")


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    async with opened(database_url) as found:
        yield found


async def test_books_that_agree_are_clean_and_kept_beside_each_other(books: Books) -> None:
    await books.sold(5)
    await books.sold(3)
    await books.delivered(2)
    assert [] == await books.reconcile()
    page = await books.page()
    assert (10, 8, 2, 0, 0, 0) == tuple(page[name] for name in SHARES)
    assert (8, False, None) == (page["counted"], page["behind"], page["unread"])


async def test_an_event_that_stripe_lost_is_named_with_its_saga(books: Books) -> None:
    for leads in (5, 3, 7):
        await books.sold(leads)
        await books.time_passes()
    lost = await books.sold(4)
    await books.time_passes()
    await books.sold(2)
    await books.time_passes()
    books.stripe.lose(4)
    assert [("counted", 21, 17, [lost.saga_id])] == await books.reconcile()


async def test_an_event_that_stripe_counts_twice_is_named_at_once(books: Books) -> None:
    await books.sold(5)
    await books.time_passes(timedelta(minutes=10))
    doubled = await books.sold(4)
    books.stripe.count_again(4)
    assert [("counted", 9, 13, [doubled.saga_id])] == await books.reconcile()


async def test_usage_that_nobody_of_ours_sent_is_named_without_a_saga(books: Books) -> None:
    await books.sold(5)
    await books.time_passes()
    (event,) = books.stripe.taken.values()
    books.stripe.forgotten.append({**event, "value": 1, "at": event["at"] - timedelta(days=1)})
    assert [("counted", 5, 6, [])] == await books.reconcile()


async def test_what_stripe_has_not_counted_yet_is_lag_until_it_should_have(books: Books) -> None:
    await books.sold(5)
    await books.time_passes()
    late = await books.sold(4)
    books.stripe.lose(4)
    assert [] == await books.reconcile()
    page = await books.page()
    assert (5, True) == (page["counted"], page["behind"])
    await books.time_passes()
    assert [("counted", 9, 5, [late.saga_id])] == await books.reconcile()


async def test_an_old_loss_does_not_hide_behind_what_was_sent_just_now(books: Books) -> None:
    lost = await books.sold(4)
    await books.time_passes()
    books.stripe.lose(4)
    await books.sold(4)
    assert [("counted", 8, 4, [lost.saga_id])] == await books.reconcile()


async def test_a_send_while_stripe_is_being_read_is_no_difference(books: Books) -> None:
    await books.sold(5)
    await books.delivered(3)
    books.stripe.before_total = books.flush
    assert [] == await books.reconcile()
    assert (8, 8) == ((await books.page())["told"], (await books.page())["counted"])


async def test_a_ledger_row_that_was_removed_is_missed_by_its_send_and_by_its_leads(books: Books) -> None:
    await books.sold(5)
    gone = await books.sold(3)
    key = f"saga_id = '{gone.saga_id}'"
    of_row = f"ledger_id IN (SELECT ledger_id FROM ledger WHERE {key})"
    await books.by_hand(f"DELETE FROM carriers WHERE {of_row}", f"DELETE FROM ledger WHERE {key}")
    found = await books.reconcile()
    assert [("carried", 0, 3, [gone.saga_id]), ("delivered", 3, 0, [gone.saga_id])] == found


async def test_a_row_that_no_send_will_ever_carry_is_named(books: Books) -> None:
    left = await books.delivered(3)
    await books.by_hand("DELETE FROM uncarried")
    assert [("carried", 3, 0, [left.saga_id])] == await books.reconcile()


async def test_a_send_that_is_stuck_is_named(books: Books) -> None:
    books.stripe.failures = [("before", StepTransient("busy"))]
    stuck = await books.sold(3)
    assert [] == await books.reconcile()
    await books.time_passes(timedelta(hours=3))
    assert [("stuck", 3, 0, [stuck.saga_id])] == await books.reconcile()


@pytest.mark.parametrize("status", ["completed", "rolled_back"])
async def test_a_hold_of_a_saga_that_has_ended_is_named(books: Books, status: str) -> None:
    ledger = Ledger(books.world)
    held = await ledger.wants(7)
    await ledger.outcomes(reserve_quota.STEP.do, held)
    assert [] == await books.reconcile()
    await books.world.admin.execute("UPDATE sagas SET status = $1", status)
    assert [("held", 0, 7, [held.saga_id])] == await books.reconcile()


async def test_a_difference_keeps_its_first_sight_and_is_resolved_when_it_is_gone(books: Books) -> None:
    await books.sold(5)
    await books.time_passes()
    books.stripe.count_again(5)
    await books.reconcile()
    await books.reconcile()
    books.stripe.forgotten.clear()
    assert [] == await books.reconcile()
    books.stripe.count_again(5)
    assert 1 == len(await books.reconcile())
    rows = await books.world.admin.fetch(
        "SELECT last_seen_at > first_seen_at AS again, resolved_at IS NULL AS open FROM findings"
        " ORDER BY first_seen_at"
    )
    assert [(True, False), (False, True)] == [tuple(row) for row in rows]


async def test_what_differs_stays_in_sight_however_old_it_gets(books: Books) -> None:
    await books.sold(5)
    await books.time_passes()
    books.stripe.count_again(5)
    await books.reconcile()
    for _ in range(3):
        await books.period_ends()
    await books.world.admin.execute("UPDATE findings SET first_seen_at = first_seen_at - interval '93 days'")
    assert "counted" in {kind for kind, *_ in await books.reconcile()}


async def test_without_stripe_the_own_books_are_compared_and_what_stripe_showed_stays_open(
    books: Books,
) -> None:
    await books.sold(5)
    await books.time_passes()
    books.stripe.count_again(5)
    await books.reconcile()
    books.stripe.away = StepTransient("busy", error="RateLimitError")
    gone = await books.sold(3)
    await books.by_hand(f"DELETE FROM leads WHERE saga_id = '{gone.saga_id}'")
    assert ["counted", "delivered"] == [kind for kind, *_ in await books.reconcile()]
    assert "RateLimitError" == (await books.page())["unread"]
    assert 200 < await due_in(books) < 310


async def due_in(books: Books) -> float:
    query = "SELECT extract(epoch FROM due_at - now())::float8 FROM work_due WHERE kind = 'reconcile'"
    return float(await books.world.admin.fetchval(query))


async def test_it_comes_again_within_the_hour_and_says_how_much_is_open(books: Books) -> None:
    await books.sold(5)
    books.stripe.count_again(5)
    await books.reconcile()
    assert 3500 < await due_in(books) <= 3600
    assert 1 == await books.world.admin.fetchval("SELECT weight FROM work_due WHERE kind = 'reconcile'")


async def test_it_comes_once_more_shortly_before_an_invoice_is_final(books: Books) -> None:
    await books.world.period_turned("acme", timedelta(minutes=20))
    await books.reconcile()
    assert 24 * 60 < await due_in(books) <= 25 * 60, "45 minutes after the period has ended, of 60"


async def test_asked_for_while_it_is_under_way_it_is_made_once_more(books: Books) -> None:
    await books.sold(5)

    async def asked() -> None:
        await books.world.admin.execute("UPDATE work_due SET due_at = now() WHERE kind = 'reconcile'")

    books.stripe.before_total = asked
    await books.reconcile()
    assert await due_in(books) <= 0


async def test_the_job_flushes_and_reconciles_side_by_side(books: Books) -> None:
    await books.delivered(4)
    await books.world.admin.execute("UPDATE work_due SET due_at = now()")
    job = SideBySide(Rounds("flush", flush_tenant), Rounds("reconcile", reconcile_tenant, lease=600.0))
    await job(books.worker)
    await job.ended()
    assert (4, [1.0]) == (books.stripe.billed("cus_acme"), books.worker.waits)
    assert 3500 < await due_in(books) <= 3600


async def test_whoever_reserves_quota_is_reconciled_from_then_on(books: Books) -> None:
    ledger = Ledger(books.world)
    await ledger.outcomes(reserve_quota.STEP.do, await ledger.wants(7))
    assert await due_in(books) <= 0


async def test_an_invoice_with_the_right_quantity_and_money_is_clean(books: Books) -> None:
    await books.sold(5)
    await books.sold(4)
    await books.period_ends()
    await books.invoiced(9, 450)
    assert [] == await books.reconcile()
    page = await books.page()
    assert (9, 450, 450, "eur") == tuple(page[name] for name in ("invoiced", "charged", "owed", "currency"))


@pytest.mark.parametrize(
    ("quantity", "amount", "currency", "found"),
    [
        (8, 400, "eur", ("invoiced", 9, 8)),
        (10, 500, "eur", ("invoiced", 9, 10)),
        (9, 451, "eur", ("charged", 450, 451)),
        (9, 449, "eur", ("charged", 450, 449)),
        (9, 450, "usd", ("charged", 0, 450)),
    ],
)
async def test_one_lead_or_one_cent_on_an_invoice_is_found(
    books: Books, quantity: int, amount: int, currency: str, found: tuple[str, int, int]
) -> None:
    sagas = sorted([(await books.sold(5)).saga_id, (await books.sold(4)).saga_id])
    await books.period_ends()
    await books.invoiced(quantity, amount, currency=currency)
    assert [(*found, sagas)] == await books.reconcile()


async def test_usage_that_no_invoice_bills_is_found_when_it_could_have_been(books: Books) -> None:
    await books.sold(5)
    await books.period_ends()
    assert ["invoiced"] == [kind for kind, *_ in await books.reconcile()]
