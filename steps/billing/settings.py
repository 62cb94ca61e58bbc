"""How often usage goes to Stripe, and how patient the flush is."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from pydantic import Field

from contracts.process.settings import ProcessSettings, Settings, load
from steps.work.backoff import Backoff

RETRY = Backoff(first=1.0, ceiling=300.0)

IDENTIFIER_HOURS = 23
"""Stripe deduplicates identifiers for 24 h at least; one that is older must not be sent again blindly."""

CALL_SECONDS = 20.0
"""The longest a call may take, unless it is set. The Stripe client has a limit of its own, of 10 s."""

INVOICE_GRACE = 1.0
"""Hours. Stripe finalises an invoice so long after its period has ended, unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`interval` in seconds; a flush comes at once when `leads` or more wait."""

    interval: float
    leads: int
    retry: Backoff
    grace_hours: float = INVOICE_GRACE
    """After the end of a billing period Stripe still counts usage in it for so long; never scaled."""
    call_seconds: float = CALL_SECONDS
    """The longest a call may take; never scaled."""

    @property
    def lease(self) -> float:
        """Seconds after which a call that nobody settled belonged to a process that is gone."""
        return self.call_seconds * 1.25


class FlushSettings(Settings):
    flush_interval: float = Field(default=60.0, gt=0, le=86400)
    """Seconds (times the time scale) that usage may wait to be reported together with more."""
    flush_leads: int = Field(default=100, ge=1)
    """So many waiting leads of one tenant are reported at once."""
    invoice_grace: float = Field(default=INVOICE_GRACE, ge=0, le=72)
    """Hours after the end of a billing period in which it may still be reported: as many as Stripe is set to
    wait before it finalises an invoice. Usage and refunds that come later are parked for an operator."""
    stripe_call_timeout: float = Field(default=CALL_SECONDS, gt=0, le=600)
    """Seconds that one call which reports usage may take. After a quarter more a call that nobody settled is
    made again: its process has died."""

    def pace(self, time_scale: float) -> Pace:
        interval, retry = self.flush_interval * time_scale, RETRY.scaled(time_scale)
        return Pace(interval, self.flush_leads, retry, self.invoice_grace, self.stripe_call_timeout)


@cache
def flush_pace() -> Pace:
    """Of this process, read once. Raises BadSettings."""
    return load(FlushSettings).pace(load(ProcessSettings).time_scale)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two reconciliations of a tenant, and after one that could not read Stripe."""

    interval: float
    again: float
    grace_hours: float


class ReconcileSettings(Settings):
    reconcile_interval: float = Field(default=3600.0, gt=0, le=86400)
    """Seconds (times the time scale) between two reconciliations of a tenant. One more comes shortly before
    the invoice of a billing period is final."""
    summary_lag: float = Field(default=0.5, ge=0, le=72)
    """Hours that Stripe's totals may be behind what it has taken. What they lack of older usage is lost."""

    @property
    def lag(self) -> timedelta:
        return timedelta(hours=self.summary_lag)

    def rhythm(self, time_scale: float, grace_hours: float) -> Rhythm:
        return Rhythm(self.reconcile_interval * time_scale, RETRY.ceiling * time_scale, grace_hours)


@cache
def reconcile_settings() -> ReconcileSettings:
    """Of this process, read once. Raises BadSettings."""
    return load(ReconcileSettings)
