"""How often a tenant is told, and for how long it is tried."""

from dataclasses import dataclass
from functools import cache

from pydantic import Field

from contracts.process.settings import ProcessSettings, Settings, load
from steps.work.backoff import Backoff

RETRY = Backoff(first=2.0, ceiling=300.0)

CALL_SECONDS = 20.0
"""The longest a call may take, unless it is set. The Discord client has a limit of its own, of 10 s."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`interval` in seconds, `patience` in hours."""

    interval: float
    patience: float
    retry: Backoff
    call_seconds: float = CALL_SECONDS
    """The longest a call may take; never scaled."""

    @property
    def lease(self) -> float:
        """Seconds after which a call that nobody settled belonged to a process that is gone. Generous: what
        it was sending then counts as perhaps sent, and is not repeated."""
        return self.call_seconds * 3


class NoticeSettings(Settings):
    notice_interval: float = Field(default=10.0, gt=0, le=86400)
    """Seconds (times the time scale) in which a tenant gets at most one message."""
    notice_patience: float = Field(default=24.0, gt=0)
    """Hours that a notice which surely was not sent is tried, before it is given up."""
    discord_call_timeout: float = Field(default=CALL_SECONDS, gt=0, le=600)
    """Seconds that posting one message may take. After three times as long a message that nobody settled
    counts as perhaps sent: its process has died."""

    def pace(self, time_scale: float) -> Pace:
        interval, retry = self.notice_interval * time_scale, RETRY.scaled(time_scale)
        return Pace(interval, self.notice_patience, retry, self.discord_call_timeout)


@cache
def notice_interval() -> float:
    """Seconds, of this process, read once. Raises BadSettings."""
    return load(NoticeSettings).pace(load(ProcessSettings).time_scale).interval
