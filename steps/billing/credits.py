"""Credits: money that goes back for leads of a final invoice, or of a period that has none. Committed before
the call, and found again at Stripe by its id, whatever became of the call."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import uuid_utils.compat

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.facts import RefundReported
from contracts.process import logs
from contracts.process.postgres import Database
from steps.billing import turns
from steps.billing.instruments import Money
from steps.billing.ports import MoneyBack
from steps.billing.settings import Pace
from steps.clients.billing import Invoice, UsageUnknown
from steps.runtime.step import Connection

log = logs.get("flush")

_BEFORE_ON_LINE = """
SELECT coalesce(sum(leads), 0)::int FROM credits
WHERE tenant_id = $1 AND invoice_line = $2 AND ledger_id <> $3 AND state <> 'rejected'
"""

_BEFORE_OF_DELIVERY = """
SELECT coalesce(sum(c.leads), 0)::int FROM credits c JOIN ledger l USING (tenant_id, ledger_id)
WHERE c.tenant_id = $1 AND l.original_id = $2 AND c.ledger_id <> $3 AND c.state <> 'rejected'
    AND c.instrument = 'balance_credit'
"""

# One that Stripe refused is made anew, with what has been read since. Its key is new, because Stripe repeats
# what it said to the old one.
_CLAIM = """
INSERT INTO credits AS c (tenant_id, credit_id, ledger_id, instrument, customer, invoice, invoice_line,
    invoice_status, leads, amount, tax, currency, replaces, state, settled_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::bigint, $11, $12, $13,
    CASE WHEN $10::bigint = 0 THEN 'confirmed' ELSE 'pending' END, CASE WHEN $10::bigint = 0 THEN now() END)
ON CONFLICT (tenant_id, ledger_id) DO UPDATE
SET instrument = excluded.instrument, invoice = excluded.invoice, invoice_line = excluded.invoice_line,
    invoice_status = excluded.invoice_status, amount = excluded.amount, tax = excluded.tax,
    currency = excluded.currency, state = excluded.state, settled_at = excluded.settled_at, error = NULL,
    retry_at = NULL, key_generation = c.key_generation + 1
WHERE c.state = 'rejected'
RETURNING credit_id
"""

_CARRY = """
INSERT INTO carriers (tenant_id, ledger_id, credit_id)
SELECT tenant_id, ledger_id, $3 FROM uncarried WHERE tenant_id = $1 AND ledger_id = $2
ON CONFLICT DO NOTHING
"""

_TAKE_OVER = """
UPDATE carriers SET intent_id = NULL, credit_id = $3
WHERE tenant_id = $1 AND ledger_id = $2 AND intent_id = $4
"""

_CARRIED = "SELECT true FROM carriers WHERE tenant_id = $1 AND ledger_id = $2 AND credit_id = $3"

_READ = """
SELECT credit_id, ledger_id, instrument, customer, invoice, invoice_line, invoice_status, leads, amount, tax,
    currency, state, attempts, key_generation, error, stripe_id, coalesce(retry_at, now()) <= now() AS ripe
FROM credits WHERE tenant_id = $1 AND credit_id = $2
"""

_BEGIN = """
UPDATE credits SET state = 'sending', attempts = attempts + 1, retry_at = now() + make_interval(secs => $5)
WHERE tenant_id = $1 AND credit_id = $2 AND state = $3 AND attempts = $4
    AND coalesce(retry_at, now()) <= now()
RETURNING attempts
"""

_CONFIRM = """
UPDATE credits SET state = 'confirmed', stripe_id = $3, settled_at = now(), retry_at = NULL, error = NULL
WHERE tenant_id = $1 AND credit_id = $2 AND state IN ('pending', 'sending')
"""

_AGAIN = """
UPDATE credits SET state = $4, retry_at = now() + make_interval(secs => $5), error = $6,
    key_generation = key_generation + $7
WHERE tenant_id = $1 AND credit_id = $2 AND attempts = $3 AND state = 'sending'
"""

_REJECT = """
UPDATE credits SET state = 'rejected', settled_at = now(), retry_at = NULL, error = $4
WHERE tenant_id = $1 AND credit_id = $2 AND attempts = $3 AND state = 'sending'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    tenant_id: str
    credit_id: UUID
    ledger_id: UUID
    instrument: str
    customer: str
    invoice: str | None
    invoice_line: str | None
    invoice_status: str | None
    leads: int
    amount: int
    tax: int
    currency: str
    state: str
    attempts: int
    key_generation: int
    error: str | None
    stripe_id: str | None
    ripe: bool
    """The time of its next call has come, and none is under way."""

    @property
    def reference(self) -> str:
        return str(self.credit_id)

    @property
    def idempotency_key(self) -> str:
        return f"{self.tenant_id}-{self.credit_id}:{self.key_generation}"

    @property
    def fact(self) -> RefundReported:
        return RefundReported.model_validate(
            {
                "instrument": self.instrument,
                "stripe_id": self.stripe_id,
                "invoice": self.invoice,
                "amount": self.amount + self.tax,
                "currency": self.currency,
            }
        )

    @property
    def outside(self) -> dict[str, str]:
        """What `leadsaga show` shows of it."""
        names = {"credit_note": "stripe_credit_note", "balance_credit": "stripe_balance_transaction"}
        found = {
            "instrument": self.instrument,
            "invoice": self.invoice,
            "amount": str(self.amount + self.tax),
            "currency": self.currency,
            names[self.instrument]: self.stripe_id,
        }
        return {name: value for name, value in found.items() if value is not None}


async def leads_before(
    connection: Connection, tenant_id: str, invoice: Invoice | None, original_id: UUID, ledger_id: UUID
) -> int:
    """Leads that other refunds gave back of the same line, or of the same delivery as balance credit."""
    if invoice is None:
        found = await connection.fetchval(_BEFORE_OF_DELIVERY, tenant_id, original_id, ledger_id)
    else:
        found = await connection.fetchval(_BEFORE_ON_LINE, tenant_id, invoice.line, ledger_id)
    return int(found)


async def claim(  # noqa: PLR0913 - the parts of a credit
    connection: Connection,
    tenant_id: str,
    ledger_id: UUID,
    *,
    leads: int,
    customer: str,
    invoice: Invoice | None,
    money: Money,
    currency: str,
    replaces: UUID | None,
) -> Credit | None:
    """Makes the credit that carries the reversal, or makes a refused one anew. None: another process was
    faster, or Stripe may have the credit. The caller holds the lock on plans."""
    claimed = await connection.fetchval(
        _CLAIM,
        tenant_id,
        uuid_utils.compat.uuid7(),
        ledger_id,
        "balance_credit" if invoice is None else "credit_note",
        customer,
        invoice.invoice if invoice else None,
        invoice.line if invoice else None,
        invoice.status if invoice else None,
        leads,
        money.amount,
        money.tax,
        currency,
        replaces,
    )
    if claimed is None:
        return None
    if replaces is None:
        await connection.execute(_CARRY, tenant_id, ledger_id, claimed)
    else:
        await connection.execute(_TAKE_OVER, tenant_id, ledger_id, claimed, replaces)
    if not await connection.fetchval(_CARRIED, tenant_id, ledger_id, claimed):
        raise StepTransient("its usage is carried by something else meanwhile", error="Carried")
    return await read(connection, tenant_id, claimed)


async def read(connection: Connection, tenant_id: str, credit_id: UUID) -> Credit:
    row = await connection.fetchrow(_READ, tenant_id, credit_id)
    return Credit(tenant_id=tenant_id, **dict(row))


async def send(database: Database, money: MoneyBack, credit: Credit, pace: Pace) -> Credit:
    """Calls Stripe once, if it is time, and says what is known of the credit then. When an earlier call may
    have been taken, Stripe is read first, and its idempotency key is the same again."""
    key = credit.tenant_id, credit.credit_id
    if credit.state in {"pending", "sending"} and credit.ripe:
        await turns.turn_at_invoices(database, money)
        async with database.transaction(credit.tenant_id, name="refunds.begin") as connection:
            attempt = await connection.fetchval(_BEGIN, *key, credit.state, credit.attempts, pace.lease * 2)
        if attempt is not None:
            made = await _call(money, credit, pace)
            async with database.transaction(credit.tenant_id, name="refunds.settle") as connection:
                await _settle(connection, credit, attempt, made, pace)
    async with database.transaction(credit.tenant_id, name="refunds.look") as connection:
        return await read(connection, *key)


async def _call(money: MoneyBack, credit: Credit, pace: Pace) -> str | StepError:
    try:
        async with asyncio.timeout(pace.call_seconds * 2):
            found = await _find(money, credit) if credit.state == "sending" else None
            return found or await _make(money, credit)
    except StepError as error:
        fault: StepError = error
    except Exception as error:  # noqa: BLE001 - whatever broke the call, it may have been taken
        fault = StepUnknown("the call to Stripe broke off", error=type(error).__name__)
    log.warning("credit_not_made", tenant=credit.tenant_id, credit=credit.reference, error=fault.error)
    return fault


async def _find(money: MoneyBack, credit: Credit) -> str | None:
    if credit.invoice is None:
        return await money.find_balance_credit(credit.customer, credit.reference)
    return await money.find_credit_note(credit.invoice, credit.reference)


async def _make(money: MoneyBack, credit: Credit) -> str:
    if credit.invoice is None or credit.invoice_line is None:
        return await money.credit_balance(
            reference=credit.reference,
            customer=credit.customer,
            amount=credit.amount,
            currency=credit.currency,
            idempotency_key=credit.idempotency_key,
        )
    return await money.make_credit_note(
        reference=credit.reference,
        invoice=credit.invoice,
        line=credit.invoice_line,
        amount=credit.amount,
        tax=credit.tax,
        paid=credit.invoice_status == "paid",
        idempotency_key=credit.idempotency_key,
    )


async def _settle(
    connection: Connection, credit: Credit, attempt: int, made: str | StepError, pace: Pace
) -> None:
    key: tuple[Any, ...] = credit.tenant_id, credit.credit_id
    if isinstance(made, str):
        await connection.execute(_CONFIRM, *key, made)
        return
    text = f"{made.error}: {made.reason}"[:500]
    if isinstance(made, StepRejected):
        # Under the key of a call that was taken Stripe would have repeated its success.
        await connection.execute(_REJECT, *key, attempt, text)
        return
    wait = pace.retry.delay(
        attempt,
        draw=random.random(),  # noqa: S311 - spreads load, protects nothing
        retry_after=made.retry_after if isinstance(made, StepTransient) else None,
    )
    state = credit.state if isinstance(made, StepTransient) else "sending"
    rotate = int(isinstance(made, UsageUnknown) and made.stored)
    await connection.execute(_AGAIN, *key, attempt, state, wait, text, rotate)
