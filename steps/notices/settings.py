"""How often a tenant is told, and for how long it is tried."""

from dataclasses import dataclass
from functools import cache

from pydantic import Field

from contracts.process.settings import ProcessSettings, Settings, load
from steps.work.backoff import Backoff

RETRY = Backoff(first=2.0, ceiling=300.0)

CALL_SECONDS = 20.0
"""The longest a call may take. The Discord client has a shorter limit of its own."""

LEASE = 60.0
"""Seconds after which a call that nobody settled belonged to a process that is gone."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`interval` in seconds, `patience` in hours."""

    interval: float
    patience: float
    retry: Backoff


class NoticeSettings(Settings):
    notice_interval: float = Field(default=10.0, gt=0, le=86400)
    """Seconds (times the time scale) in which a tenant gets at most one message."""
    notice_patience: float = Field(default=24.0, gt=0)
    """Hours that a notice which surely was not sent is tried, before it is given up."""

    def pace(self, time_scale: float) -> Pace:
        return Pace(self.notice_interval * time_scale, self.notice_patience, RETRY.scaled(time_scale))


@cache
def notice_interval() -> float:
    """Seconds, of this process, read once. Raises BadSettings."""
    return load(NoticeSettings).pace(load(ProcessSettings).time_scale).interval
