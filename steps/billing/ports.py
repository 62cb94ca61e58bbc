"""What billing needs of the outside, so that tests can stand in for it."""

from datetime import datetime
from typing import Protocol

from steps.clients.billing import Invoice


class Readable(Protocol):
    @property
    def reads_per_second(self) -> float:
        """Totals that the account lets all processes together read."""
        ...


class UsageMeter(Readable, Protocol):
    @property
    def calls_per_second(self) -> float:
        """Sends that the account takes from all processes together."""
        ...

    async def send_usage(  # noqa: PLR0913 - the columns of an intent
        self,
        *,
        identifier: str,
        customer: str,
        event_name: str,
        value: int,
        at: datetime,
        idempotency_key: str,
    ) -> object:
        """Returns when Stripe has the event, be it from this call or an earlier one.

        Raises StepTransient (surely not taken), StepRejected (refused, surely not taken by this call) or
        StepUnknown (may have been taken; UsageUnknown says whether the idempotency key has to change)."""
        ...

    async def meter_of(self, event_name: str) -> str | None:
        """The id of the active meter of that name. Raises StepError."""
        ...

    async def event_summary(self, meter: str, customer: str, start: datetime, end: datetime) -> int:
        """What Stripe counts in [start, end), widened to whole minutes. It may not have counted everything
        yet. Raises StepError."""
        ...


class MoneyBack(Readable, Protocol):
    """Every method raises StepTransient (surely nothing happened), StepUnknown or StepRejected."""

    async def invoice_of(self, customer: str, event_name: str, at: datetime) -> Invoice | None:
        """The invoice that bills, or is about to bill, the meter's usage at that moment; None when there is
        none yet."""
        ...

    async def make_credit_note(  # noqa: PLR0913 - a note's parts
        self,
        *,
        reference: str,
        invoice: str,
        line: str,
        amount: int,
        tax: int,
        paid: bool,
        idempotency_key: str,
    ) -> str:
        """The note's id. Of a paid invoice the money becomes credit on the customer's balance."""
        ...

    async def find_credit_note(self, invoice: str, reference: str) -> str | None:
        """Of one that was made: there is no lag."""
        ...

    async def credit_balance(
        self, *, reference: str, customer: str, amount: int, currency: str, idempotency_key: str
    ) -> str:
        """The transaction's id."""
        ...

    async def find_balance_credit(self, customer: str, reference: str) -> str | None:
        """Of one that was made: there is no lag."""
        ...
