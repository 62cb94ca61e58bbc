"""Commands to steps and replies from them."""

from typing import Any, TypeVar

from pydantic import Field

from contracts.facts import Fact
from contracts.ids import Direction, RequestId, SagaId, StepName, TenantId
from contracts.model import Model
from contracts.outcomes import Outcome

M = TypeVar("M", bound=Model)
F = TypeVar("F", bound=Fact)

MOST_ATTEMPTS = 1_000_000
"""No saga comes near it; what claims to have made more is not one of ours."""


class Command(Model):
    """The orchestrator asks a step for one attempt. `(saga_id, step, direction)` names the work,
    `attempt` the try; the same attempt may be delivered any number of times and takes effect once."""

    tenant_id: TenantId
    saga_id: SagaId
    saga: str
    request_id: RequestId
    step: StepName
    direction: Direction
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    last: bool
    """No further attempt follows a Transient or Unknown answer to this one."""
    timeout: float = Field(gt=0)
    """Seconds that the attempt may run, measured where it runs."""
    request: dict[str, Any]
    facts: dict[str, dict[str, Any]] = {}

    def asked(self, model: type[M]) -> M:
        """The request that began the saga. Raises pydantic.ValidationError."""
        return model.model_validate(self.request)

    def fact(self, model: type[F]) -> F:
        """The result of an earlier step. Raises KeyError when that step has none."""
        return model.model_validate(self.facts[model.STEP])


class Reply(Model):
    """A step answers one attempt. Once sent for an attempt, the answer stays true for ever."""

    tenant_id: TenantId
    saga_id: SagaId
    saga: str
    step: StepName
    direction: Direction
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    outcome: Outcome


def reply_to(command: Command, outcome: Outcome, attempt: int | None = None) -> Reply:
    return Reply(
        tenant_id=command.tenant_id,
        saga_id=command.saga_id,
        saga=command.saga,
        step=command.step,
        direction=command.direction,
        attempt=attempt or command.attempt,
        outcome=outcome,
    )
