"""The rule for who may begin a saga, the same for every store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from orchestrator.store.port import Admission, Admitted, Attached, Incoming, Refused

RequestKey = tuple[str, str, str]
"""(tenant_id, saga, request_id)."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request that came before."""

    content_hash: bytes
    saga_id: UUID


def key_of(request: Incoming) -> RequestKey:
    return (request.tenant_id, request.saga, request.request_id)


def judge(
    requests: Sequence[Incoming], *, remembered: Mapping[RequestKey, Remembered], tenants: Mapping[str, str]
) -> list[Admission]:
    """`tenants` holds the status of those that exist. What came before is answered as before, even if its
    tenant was suspended since: its saga is under way or over, and upstream may ask again for the outcome."""
    known = dict(remembered)
    answers: list[Admission] = []
    for request in requests:
        earlier = known.get(key_of(request))
        if earlier is None:
            answer = _first(request, tenants.get(request.tenant_id))
            if isinstance(answer, Admitted):
                known[key_of(request)] = Remembered(request.content_hash, request.saga_id)
        elif earlier.content_hash == request.content_hash:
            answer = Attached((request.tenant_id, earlier.saga_id))
        else:
            answer = Refused("request_id was used before with other content")
        answers.append(answer)
    return answers


def _first(request: Incoming, status: str | None) -> Admission:
    match status:
        case None:
            return Refused("unknown tenant")
        case "active":
            return Admitted((request.tenant_id, request.saga_id))
        case "provisioning":
            return Refused("the tenant is still being added; ask again when it is")
        case _:
            return Refused("the tenant is suspended")
