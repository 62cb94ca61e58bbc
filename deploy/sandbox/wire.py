"""What every stand-in speaks: a call received, an answer given, and the shape of a vendor."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.sandbox.faults import Fault

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived. `path` never holds a webhook's token; `headers` have lower-case names."""

    route: str
    method: str
    path: str
    ids: Mapping[str, str]
    query: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`kept` asks the vendor to remember this answer for the call's idempotency key."""

    status: int
    body: Json | None
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: bool = False


class RefusedError(Exception):
    """The vendor refuses the call, and nothing took effect."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(self.__doc__)
        self.answer = answer


class Vendor(Protocol):
    """Both `hold` and `handle` may raise RefusedError; `handle` runs inside one transaction."""

    latency_setting: str

    def identifier(self, call: Call) -> str | None:
        """The business key that the call carries, for the record of calls."""

    def hold(self, call: Call) -> AbstractContextManager[None]:
        """Check who calls, and take what a second call at the same time must not have."""

    def handle(self, call: Call, fault: Fault | None) -> Answer: ...

    def keep(self, call: Call, answer: Answer, *, replace: bool) -> None: ...

    def failure(self, status: int, retry_after: float | None) -> Answer:
        """The vendor's documented error body and headers for a status."""
