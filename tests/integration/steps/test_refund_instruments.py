"""What gives a refund back at Stripe, over real HTTP: chosen by how the invoice of its usage stands."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.facts import RefundReported
from contracts.outcomes import Done, Outcome, Rejected
from deploy.sandbox.client import SandboxAdmin
from steps.billing.flush import flush_tenant
from tests.kit.refunding import Till, till
from tests.kit.tenants_at_work import tenants_at_work


@pytest.fixture
async def at(database_url: str, sandbox: str, admin: SandboxAdmin) -> AsyncIterator[Till]:
    async with tenants_at_work(database_url) as world, till(world, admin, sandbox) as found:
        yield found


def fact(outcome: Outcome) -> RefundReported:
    assert isinstance(outcome, Done), outcome
    return RefundReported.model_validate(outcome.facts)


def refusal(outcome: Outcome) -> tuple[str, str]:
    assert isinstance(outcome, Rejected), outcome
    return outcome.error, outcome.reason


async def lines(at: Till) -> list[Any]:
    query = "SELECT state, attempts FROM credits ORDER BY created_at"
    return [tuple(row) for row in await at.world.admin.fetch(query)]


async def test_in_an_open_period_it_nets_out_with_the_next_report(at: Till) -> None:
    this = await at.world.admin.fetchval("SELECT billing_anchor FROM tenants WHERE tenant_id = 'acme'")
    usage = await at.sold(10, period=this)
    refund = await at.refund(usage, 4)
    await at.world.usage("acme", 7, period=this)
    await at.flush()

    assert ("nets_out", 3) == (fact(at.answer(refund)).instrument, fact(at.answer(refund)).sent)
    assert 13 == await at.told()
    assert {"instrument", "intent_id", "stripe_identifier"} == set(await at.outside(refund))


async def test_while_the_invoice_is_still_to_be_drafted_it_is_a_negative_event(at: Till) -> None:
    usage = await at.sold(10)
    assert "negative_event" == fact(await at.refunded(usage, 4)).instrument
    assert (6, 300) == (await at.told(), (await at.draft()).total)


async def test_a_draft_is_lowered_by_a_negative_event_in_its_own_period(at: Till) -> None:
    usage = await at.sold(10)
    draft = await at.draft()
    refund = await at.refund(usage, 4)
    await at.flush()

    found = fact(at.answer(refund))
    assert ("negative_event", -4, draft.id) == (found.instrument, found.sent, found.invoice)
    assert 300 == (await at.finalize(draft.id)).total
    assert ["negative_event", draft.id] == [
        (await at.outside(refund))[name] for name in ("instrument", "invoice")
    ]


async def test_of_an_unpaid_invoice_a_credit_note_lowers_what_is_open(at: Till) -> None:
    usage = await at.sold(10)
    invoice = await at.final()
    refund = await at.refund(usage, 4)
    await at.flush()

    found, (note,) = fact(at.answer(refund)), await at.notes()
    assert ("credit_note", note.id, 200, "eur") == (
        found.instrument,
        found.stripe_id,
        found.amount,
        found.currency,
    )
    assert ("pre_payment", 200) == (note.type, note.total)
    assert (300, 0, 10) == (
        (await at.invoice(invoice.id)).amount_remaining,
        await at.balance(),
        await at.told(),
    )
    assert {
        "instrument": "credit_note",
        "invoice": invoice.id,
        "amount": "200",
        "currency": "eur",
        "stripe_credit_note": note.id,
    } == await at.outside(refund)


async def test_of_a_paid_invoice_a_credit_note_becomes_credit_for_the_next_one(at: Till) -> None:
    usage = await at.sold(10)
    await at.pay((await at.final()).id)
    found, (note,) = fact(await at.refunded(usage, 4)), await at.notes()

    assert ("credit_note", note.id) == (found.instrument, found.stripe_id)
    assert ("post_payment", -200) == (note.type, await at.balance())


async def test_without_an_invoice_it_is_credit_on_the_balance(
    at: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = await at.sold(10)
    monkeypatch.setenv("LEADSAGA_INVOICE_GRACE", "0")
    refund = await at.refund(usage, 4)
    await at.flush()

    found = fact(at.answer(refund))
    assert ("balance_credit", 200, None) == (found.instrument, found.amount, found.invoice)
    assert (-200, []) == (await at.balance(), await at.notes())
    assert found.stripe_id == (await at.outside(refund))["stripe_balance_transaction"]


async def test_a_disputed_payment_holds_the_refund_until_it_is_won(at: Till, admin: SandboxAdmin) -> None:
    usage = await at.sold(10)
    invoice = await at.final()
    await at.pay(invoice.id)
    dispute = await admin.dispute(invoice.id)
    refund = await at.refund(usage, 4)
    await at.flush()

    error, reason = refusal(at.answer(refund))
    assert ("Disputed", True) == (error, dispute["id"] in reason and invoice.id in reason)
    assert (0, []) == (await at.balance(), await at.notes())

    await admin.dispute(invoice.id, "won")
    await at.replay(refund, 2)
    await at.flush()
    assert ("credit_note", -200) == (fact(at.answer(refund)).instrument, await at.balance())


async def test_a_voided_invoice_holds_the_refund(at: Till) -> None:
    usage = await at.sold(10)
    await at.sdk.v1.invoices.void_invoice_async((await at.final()).id)
    error, reason = refusal(await at.refunded(usage, 4))
    assert ("NothingOwed", True) == (error, "is void" in reason)


async def test_an_event_that_came_after_the_invoice_was_final_falls_through_to_a_credit_note(
    at: Till,
) -> None:
    usage = await at.sold(10)
    draft = await at.draft()
    at.client.before["send_usage"] = lambda: at.finalize(draft.id)
    refund = await at.refund(usage, 4)
    await at.flush()

    found = fact(at.answer(refund))
    assert ("credit_note", 200) == (found.instrument, found.amount)
    final = await at.invoice(draft.id)
    assert (500, 300) == (final.total, final.amount_remaining)
    assert 1 == await at.world.admin.fetchval("SELECT count(*) FROM credits WHERE replaces IS NOT NULL")
    assert await at.world.due_in("acme") is None


async def test_an_invoice_that_is_paid_just_before_the_note_gets_the_other_kind_of_note(at: Till) -> None:
    usage = await at.sold(10)
    invoice = await at.final()
    at.client.before["make_credit_note"] = lambda: at.pay(invoice.id)
    assert "credit_note" == fact(await at.refunded(usage, 4)).instrument

    (note,) = await at.notes()
    assert ("post_payment", -200, [("confirmed", 2)]) == (note.type, await at.balance(), await lines(at))


async def test_partial_refunds_of_one_invoice_add_up_and_never_exceed_its_line(at: Till) -> None:
    usage = await at.sold(10)
    invoice = await at.final()
    given = [fact(await at.refunded(usage, leads)).amount for leads in (3, 4, 3)]

    assert [150, 200, 150] == given
    settled = await at.invoice(invoice.id)
    assert (0, "paid") == (settled.amount_remaining, settled.status)


@pytest.mark.parametrize("drop", ["before", "after"])
@pytest.mark.parametrize("paid", [False, True])
async def test_a_lost_answer_to_a_note_is_settled_by_reading_and_given_once(
    at: Till, admin: SandboxAdmin, drop: str, paid: bool
) -> None:
    usage = await at.sold(10)
    invoice = await at.final()
    if paid:
        await at.pay(invoice.id)
    await admin.fault("stripe.credit_notes", method="POST", drop=drop, times=1)
    refund = await at.refund(usage, 4)
    await at.flush()
    assert ([], [("sending", 1)]) == (at.answers(refund), await lines(at))
    await at.flush()

    assert ("credit_note", 1) == (fact(at.answer(refund)).instrument, len(await at.notes()))


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_lost_answer_to_a_balance_credit_is_given_once_even_when_keys_are_forgotten(
    at: Till, admin: SandboxAdmin, monkeypatch: pytest.MonkeyPatch, drop: str
) -> None:
    usage = await at.sold(10)
    monkeypatch.setenv("LEADSAGA_INVOICE_GRACE", "0")
    await admin.fault("stripe.balance_transactions", method="POST", drop=drop, times=1)
    await at.refund(usage, 4)
    await at.flush()
    await admin.settings(now_offset_seconds=26 * 3600)
    await at.flush()

    assert (-200, [("confirmed", 2)]) == (await at.balance(), await lines(at))


async def test_while_stripe_cannot_be_read_nothing_is_chosen_and_the_refund_waits(
    at: Till, admin: SandboxAdmin
) -> None:
    usage = await at.sold(10)
    await at.final()
    await admin.fault("stripe.invoices", method="GET", status=503, times=1)
    refund = await at.refund(usage, 4)
    await at.flush()
    assert ([], []) == (at.answers(refund), await lines(at))
    assert 0 < (await at.world.due_in("acme") or 0) <= 60

    await at.flush()
    assert "credit_note" == fact(at.answer(refund)).instrument


async def test_what_stripe_refuses_to_give_back_parks_with_its_words_and_can_be_tried_again(
    at: Till, admin: SandboxAdmin
) -> None:
    usage = await at.sold(10)
    await at.final()
    await admin.fault("stripe.credit_notes", method="POST", status=400, times=1)
    refund = await at.refund(usage, 4)
    await at.flush()
    error, reason = refusal(at.answer(refund))
    assert ("StripeRejected", True) == (error, reason.startswith("Stripe refused to give it back"))

    await at.replay(refund, 2)
    await at.flush()
    assert ("credit_note", 1) == (fact(at.answer(refund)).instrument, len(await at.notes()))


async def test_usage_that_stripe_refused_is_not_given_back_in_money(at: Till, admin: SandboxAdmin) -> None:
    await admin.fault("stripe.meter_events", status=400, times=1)
    usage = await at.sold(10)
    error, _ = refusal(await at.refunded(usage, 4))
    assert ("NotBilled", 0) == (error, await at.balance())


async def test_usage_and_refund_that_were_both_not_told_yet_net_out_whatever_the_invoice(at: Till) -> None:
    usage = await at.world.usage("acme", 10, period=at.period)
    refund = await at.refund(usage, 10)
    await at.flush()
    assert ("nets_out", 0, []) == (
        fact(at.answer(refund)).instrument,
        await at.told(),
        await at.admin.usage(),
    )


async def test_a_refund_of_which_nobody_took_the_command_is_not_told_yet(at: Till) -> None:
    usage = await at.sold(10)
    await at.world.reversal(usage, 4)
    await at.flush()
    assert 10 == await at.told()


async def test_two_flushers_at_once_give_one_refund_back_once(at: Till) -> None:
    usage = await at.sold(10)
    await at.pay((await at.final()).id)
    refund = await at.refund(usage, 4)
    await at.world.hurry()
    await asyncio.gather(*(flush_tenant(at.worker, "acme") for _ in range(4)))
    await at.flush()

    assert (1, -200) == (len(await at.notes()), await at.balance())
    assert {"credit_note"} == {fact(reply.outcome).instrument for reply in at.answers(refund)}
