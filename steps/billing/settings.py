"""How often usage goes to Stripe, and how patient the flush is."""

from dataclasses import dataclass
from functools import cache

from pydantic import Field

from contracts.process.settings import ProcessSettings, Settings, load
from steps.work.backoff import Backoff

RETRY = Backoff(first=1.0, ceiling=300.0)

IDENTIFIER_HOURS = 23
"""Stripe deduplicates identifiers for 24 h at least; one that is older must not be sent again blindly."""

CALL_SECONDS = 20.0
"""The longest a call may take. The Stripe client has a shorter limit of its own."""

LEASE = CALL_SECONDS + 5.0
"""Seconds after which a call that nobody settled belonged to a process that is gone."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`interval` in seconds; a flush comes at once when `leads` or more wait."""

    interval: float
    leads: int
    retry: Backoff


class FlushSettings(Settings):
    flush_interval: float = Field(default=60.0, gt=0, le=86400)
    """Seconds (times the time scale) that usage may wait to be reported together with more."""
    flush_leads: int = Field(default=100, ge=1)
    """So many waiting leads of one tenant are reported at once."""

    def pace(self, time_scale: float) -> Pace:
        return Pace(self.flush_interval * time_scale, self.flush_leads, RETRY.scaled(time_scale))


@cache
def flush_pace() -> Pace:
    """Of this process, read once. Raises BadSettings."""
    return load(FlushSettings).pace(load(ProcessSettings).time_scale)
