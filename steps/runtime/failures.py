"""From what a step raises to what it answers."""

from math import inf

from contracts.errors import StepError, StepRejected, StepTransient
from contracts.outcomes import Outcome, Rejected, Transient, Unknown

MAX_REASON = 2000
"""Characters that the reason of an outcome may have."""


def declared(error: StepError) -> Outcome:
    """The outcome that the raiser named. What it did not prove is Unknown. Whatever the texts are (they may
    quote a vendor), the outcome can be stored and sent."""
    reason, name = _storable(error.reason), _storable(error.error)
    match error:
        case StepRejected():
            return Rejected(reason=reason, error=name)
        case StepTransient():
            wait = error.retry_after
            return Transient(
                reason=reason,
                error=name,
                retry_after=wait if wait is not None and 0 <= wait < inf else None,
                progress=error.progress,
            )
        case _:
            return Unknown(reason=reason, error=name)


def _storable(text: str) -> str:
    """Short enough for an outcome, and of characters that JSON and Postgres can hold."""
    sound = text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return sound[:MAX_REASON]
