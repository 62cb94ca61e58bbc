"""The four ways a step can answer. There is no fifth: what is not proved is Unknown."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from contracts.model import Model

Reason = Annotated[str, StringConstraints(max_length=2000)]


class Done(Model):
    """The step took effect, once."""

    kind: Literal["done"] = "done"
    facts: dict[str, Any] = {}


class Rejected(Model):
    """The step surely had no effect and never will: trying again is pointless.

    `reason` is written for the requester; `error` names the cause for operators.
    """

    kind: Literal["rejected"] = "rejected"
    reason: Reason
    error: str = "Rejected"


class Transient(Model):
    """This attempt surely had no effect beyond what `progress` says; another attempt may succeed.

    `progress`: parts were stored (a checkpoint) and stay; the count of attempts in a row starts again.
    `retry_after`: seconds the outside world asked us to wait.
    """

    kind: Literal["transient"] = "transient"
    reason: Reason
    error: str = "Transient"
    retry_after: float | None = Field(default=None, ge=0)
    progress: bool = False


class Unknown(Model):
    """The step may have taken effect. It is treated as if it had until one attempt proves it."""

    kind: Literal["unknown"] = "unknown"
    reason: Reason
    error: str = "Unknown"


Outcome = Annotated[Done | Rejected | Transient | Unknown, Field(discriminator="kind")]
Failure = Rejected | Transient | Unknown
