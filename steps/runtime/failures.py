"""From what a step raises to what it answers."""

from contracts.errors import StepError, StepRejected, StepTransient
from contracts.outcomes import Outcome, Rejected, Transient, Unknown


def declared(error: StepError) -> Outcome:
    """The outcome that the raiser named. What it did not prove is Unknown."""
    match error:
        case StepRejected():
            return Rejected(reason=error.reason, error=error.error)
        case StepTransient():
            return Transient(
                reason=error.reason,
                error=error.error,
                retry_after=error.retry_after,
                progress=error.progress,
            )
        case _:
            return Unknown(reason=error.reason, error=error.error)
