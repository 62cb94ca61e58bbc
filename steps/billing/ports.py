"""What billing needs of the outside, so that tests can stand in for it."""

from datetime import datetime
from typing import Protocol


class UsageMeter(Protocol):
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
