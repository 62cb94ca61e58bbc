"""Refunds whose answer is owed: what gives the leads back at Stripe, chosen when the invoice has been read.

Nothing is chosen for a reversal whose usage goes out with it: they net out. Of usage that Stripe has, the
reversal waits until the invoice was read: while the billing period is open it goes with the next report; to a
draft it goes as an event of its own, and afterwards the invoice is read again, for it may have become final
meanwhile; from then on it is money.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import uuid_utils.compat

from contracts.errors import StepError, StepRejected, StepTransient
from contracts.facts import RefundReported
from contracts.outcomes import Done, Outcome, Rejected
from contracts.process import logs
from steps.billing import answers, intents, turns
from steps.billing import credits as money_back
from steps.billing.credits import Credit
from steps.billing.instruments import choose, counted, price_of, share_of_line
from steps.billing.owed import STEP, Refund, refunds_owed
from steps.billing.settings import Pace
from steps.clients.billing import Invoice
from steps.runtime.step import Connection, Worker

log = logs.get("flush")

# Whoever writes for a refund holds its row: it may have been settled by hand, or answered, meanwhile.
_HOLD = """
SELECT true FROM effects WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = 'do' AND owed
    AND attempt = $4 AND answered < $4 AND state = 'open' FOR NO KEY UPDATE
"""

_NOTE = """
UPDATE effects SET outside = outside || $4::text::jsonb, updated_at = now()
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = 'do'
"""

# As the usage was told: the same customer, and a moment inside the period that its invoice counts.
_PLAN_ALONE = """
WITH intent AS (
    INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start,
                         value)
    SELECT $1, $2, $3, o.customer, l.event_name, o.event_at, l.period_start, l.leads
    FROM uncarried u JOIN ledger l USING (tenant_id, ledger_id)
    JOIN carriers c ON c.tenant_id = $1 AND c.ledger_id = l.original_id
    JOIN intents o ON o.tenant_id = $1 AND o.intent_id = c.intent_id
    WHERE u.tenant_id = $1 AND u.ledger_id = $4
    ON CONFLICT DO NOTHING RETURNING intent_id
)
INSERT INTO carriers (tenant_id, ledger_id, intent_id) SELECT $1, $4, intent_id FROM intent
"""

_TOLD = """
SELECT coalesce(sum(value), 0)::int FROM intents
WHERE tenant_id = $1 AND state = 'confirmed' AND customer = $2 AND event_name = $3
    AND event_at >= $4 AND event_at < $5
"""


@dataclass(frozen=True, slots=True)
class _Visit:
    worker: Worker
    tenant_id: str
    pace: Pace
    refund: Refund

    @property
    def key(self) -> tuple[str, UUID, str]:
        return self.tenant_id, self.refund.saga_id, STEP

    async def held(self, connection: Connection) -> bool:
        """Locks plans of the tenant first, then the refund's row: the order of all who plan."""
        await intents.lock_plans(connection, self.tenant_id)
        return bool(await connection.fetchval(_HOLD, *self.key, self.refund.attempt))


async def give_back(worker: Worker, tenant_id: str, pace: Pace) -> None:
    """Brings every owed refund of the tenant as far as it can be brought now. What could not be read is tried
    with the next visit; what a person has to decide is answered, and parks."""
    async with worker.database.transaction(tenant_id, name="refunds.owed") as connection:
        owed = await refunds_owed(connection, tenant_id, pace.grace_hours)
    for refund in owed:
        visit = _Visit(worker, tenant_id, pace, refund)
        try:
            await _bring_on(visit)
        except StepRejected as error:
            await _answer(visit, Rejected(reason=error.reason, error=error.error), {})
        except StepError as error:
            log.warning("refund_waits", tenant=tenant_id, saga=str(visit.refund.saga_id), error=error.error)


async def _bring_on(visit: _Visit) -> None:
    refund = visit.refund
    if refund.credit_id is not None and refund.credit_state != "rejected":
        async with visit.worker.database.transaction(visit.tenant_id, name="refunds.credit") as connection:
            credit = await money_back.read(connection, visit.tenant_id, refund.credit_id)
        await _pay(visit, credit)
    elif refund.original_state == "rejected":
        raise StepRejected(
            "the usage itself was refused by Stripe and nobody pays for it: replay its request first, or "
            "settle both by hand",
            error="NotBilled",
        )
    elif refund.intent_state == "confirmed":
        await _expect_counted(visit)
    else:
        await _choose(visit, None)


async def _choose(visit: _Visit, refused: Credit | None) -> None:
    """`refused`: a credit that Stripe has just refused. If the invoice stands as it did then, that is the
    end; if it moved on while we looked away, something else is right now."""
    refund = visit.refund
    invoice = await _invoice(visit)
    instrument = choose(invoice, period_open=refund.period_open, in_grace=refund.in_grace)
    if refused is not None and _stands_as_before(refused, invoice):
        raise StepRejected(f"Stripe refused to give it back: {refused.error}", error="StripeRejected")
    if instrument in {"credit_note", "balance_credit"}:
        await _give_money(visit, invoice if instrument == "credit_note" else None)
    elif refund.intent_id is not None or refused is not None:
        raise StepRejected(f"Stripe was not told: {refund.error}", error="StripeRejected")
    else:
        await _give_usage(visit, instrument, invoice)


def _stands_as_before(refused: Credit, invoice: Invoice | None) -> bool:
    now = (invoice.invoice, invoice.status) if invoice else (None, None)
    return (refused.invoice, refused.invoice_status) == now


async def _invoice(visit: _Visit) -> Invoice | None:
    refund, client = visit.refund, visit.worker.client
    if not refund.customer or refund.event_at is None:
        return None
    await turns.turn_at_invoices(visit.worker.database, client)
    try:
        async with asyncio.timeout(visit.pace.call_seconds * 2):
            found: Invoice | None = await client.invoice_of(
                refund.customer, refund.event_name, refund.event_at
            )
    except StepError:
        raise
    except Exception as error:  # the tenant's usage must not wait for an invoice that nobody understands
        raise StepTransient("the invoice could not be read", error=type(error).__name__) from error
    return found


async def _give_usage(visit: _Visit, instrument: str, invoice: Invoice | None) -> None:
    outside = {"instrument": instrument} | ({"invoice": invoice.invoice} if invoice else {})
    async with visit.worker.database.transaction(visit.tenant_id, name="refunds.choose") as connection:
        if not await visit.held(connection):
            return
        await connection.execute(_NOTE, *visit.key, answers.as_json(outside))
        if instrument == "negative_event":
            made = uuid_utils.compat.uuid7()
            identifier = intents.identifier_of(visit.tenant_id, made)
            await connection.execute(_PLAN_ALONE, visit.tenant_id, made, identifier, visit.refund.ledger_id)


async def _expect_counted(visit: _Visit) -> None:
    """The event went to a draft. If the invoice became final before it was counted, it gave nothing back."""
    refund = visit.refund
    invoice = await _invoice(visit)
    if invoice is not None and invoice.status != "draft":
        verdict = counted(invoice, await _told(visit, invoice), -refund.leads)
        if verdict is None:
            raise StepRejected(
                f"invoice {invoice.invoice} counts {invoice.quantity} leads, which is neither with this "
                "refund nor without it",
                error="Unexplained",
            )
        if not verdict:
            await _choose(visit, None)
            return
    fact = RefundReported(
        intent_id=refund.intent_id,
        identifier=refund.identifier,
        sent=-refund.leads,
        instrument="negative_event",
        invoice=invoice.invoice if invoice else None,
    )
    outside = {"intent_id": str(refund.intent_id), "stripe_identifier": str(refund.identifier)}
    await _answer(visit, Done(facts=fact.model_dump(mode="json")), outside)


async def _told(visit: _Visit, invoice: Invoice) -> int:
    refund = visit.refund
    async with visit.worker.database.transaction(visit.tenant_id, name="refunds.told") as connection:
        found = await connection.fetchval(
            _TOLD, visit.tenant_id, refund.customer, refund.event_name, invoice.start, invoice.end
        )
    return int(found)


async def _give_money(visit: _Visit, invoice: Invoice | None) -> None:
    refund = visit.refund
    if not refund.customer:
        raise StepRejected("the tenant has no Stripe customer", error="NoCustomer")
    if not refund.alone:
        raise StepRejected(f"Stripe was not told: {refund.error}", error="StripeRejected")
    async with visit.worker.database.transaction(visit.tenant_id, name="refunds.claim") as connection:
        if not await visit.held(connection):
            return
        before = await money_back.leads_before(
            connection, visit.tenant_id, invoice, refund.original_id, refund.ledger_id
        )
        if invoice is None:
            money = price_of(refund.unit_price, refund.currency, leads=refund.leads, before=before)
        else:
            money = share_of_line(invoice, leads=refund.leads, before=before)
        credit = await money_back.claim(
            connection,
            visit.tenant_id,
            refund.ledger_id,
            leads=refund.leads,
            customer=refund.customer,
            invoice=invoice,
            money=money,
            currency=invoice.currency if invoice else refund.currency,
            replaces=refund.intent_id,
        )
        if credit is None:
            return
        await connection.execute(_NOTE, *visit.key, answers.as_json(credit.outside))
    await _pay(visit, credit)


async def _pay(visit: _Visit, credit: Credit) -> None:
    credit = await money_back.send(visit.worker.database, visit.worker.client, credit, visit.pace)
    if credit.state == "rejected":
        await _choose(visit, credit)
    elif credit.state == "confirmed":
        await _answer(visit, Done(facts=credit.fact.model_dump(mode="json")), credit.outside)


async def _answer(visit: _Visit, outcome: Outcome, outside: dict[str, str]) -> None:
    async with visit.worker.database.transaction(visit.tenant_id, name="refunds.answer") as connection:
        if await visit.held(connection):
            answered = answers.Answered(visit.refund.saga_id, STEP, outcome, outside)
            await answers.save(connection, visit.tenant_id, [answered])
