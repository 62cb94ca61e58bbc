"""Whether who sent a request may speak for the tenant that it names.

The broker lets a user publish under the keys of its own tenant only, and refuses a user-id that is not the
sender's own. A key alone can be had in other ways, by dead-lettering out of a queue of one's own for one; a
user-id that was checked stays with its message wherever that goes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from contracts.bundle import Malformed
from orchestrator.run.letters import FORGED, sender

ANOTHER_KEY = "the message names another tenant than its routing key"
ANOTHER_USER = "the message names a tenant that its sender may not speak for"


@dataclass(frozen=True, slots=True)
class Forged(Malformed):
    """A request in the name of another tenant. `error`: the class of its dead letter."""

    tenant_id: str
    """It is said to be of."""
    error: str


@dataclass(frozen=True, slots=True)
class Senders:
    """`trusted`: users who speak for any tenant. When there are none, user-ids are not looked at."""

    trusted: Collection[str] = ()

    def may_speak(self, user: str, tenant_id: str) -> bool:
        """A tenant's users are named for it: `acme`, or `acme.crm`."""
        return not self.trusted or user in self.trusted or user.split(".", 1)[0] == tenant_id

    def believed(self, request: Any, routing_key: str, user: str) -> Any:
        """The request, or Forged in its place. What cannot be read is judged by its key alone."""
        of_key = sender(routing_key)
        tenant_id = of_key if isinstance(request, Malformed) else request.tenant_id
        if tenant_id is None:
            return request
        if tenant_id != of_key:
            return Forged(_raw(request), ANOTHER_KEY, tenant_id, "Malformed")
        if not self.may_speak(user, tenant_id):
            return Forged(_raw(request), ANOTHER_USER, tenant_id, FORGED)
        return request


def _raw(request: Any) -> bytes:
    raw: bytes = request.raw if isinstance(request, Malformed) else request.model_dump_json().encode()
    return raw
