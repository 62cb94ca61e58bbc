"""What a step or a client raises. The raiser knows whether and when another try makes sense; the runtime
turns the class into the outcome of the same name."""


class StepError(Exception):
    """The step failed."""

    def __init__(self, reason: str, *, error: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error or type(self).__name__


class StepRejected(StepError):
    """The step surely had no effect, and never will."""


class StepTransient(StepError):
    """This attempt surely had no effect; another may succeed, at the earliest after `retry_after` seconds."""

    def __init__(
        self,
        reason: str,
        *,
        error: str | None = None,
        retry_after: float | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(reason, error=error)
        self.retry_after = retry_after
        self.progress = progress


class StepUnknown(StepError):
    """The effect may have happened: the outside world did not say."""
