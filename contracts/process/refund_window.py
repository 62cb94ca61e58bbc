"""How long a refund may be asked for: the step refuses later ones, the operators' tool foresees it."""

from datetime import timedelta
from functools import cache

from pydantic import Field

from contracts.process.settings import Settings, load


class RefundSettings(Settings):
    refund_window: int = Field(default=30, ge=1, le=3650)
    """Days after the delivery in which a refund may be asked for. Later ones are refused, unless an operator
    lets them through."""


@cache
def refund_window() -> timedelta:
    """Of this process, read once. Raises BadSettings."""
    return timedelta(days=load(RefundSettings).refund_window)
