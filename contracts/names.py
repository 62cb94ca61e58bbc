"""Every exchange, queue and routing key of the system, in one place.

A step's name is its queue's name. `prefix` keeps systems apart that share one broker (tests do).
"""

from dataclasses import dataclass

REQUESTS = "requests"
REPLIES = "replies"


@dataclass(frozen=True, slots=True)
class Names:
    prefix: str = ""

    @property
    def requests_exchange(self) -> str:
        """Topic; upstream services publish here with `request_key`."""
        return f"{self.prefix}leadsaga.requests"

    @property
    def commands_exchange(self) -> str:
        """Direct; the routing key is the step's queue."""
        return f"{self.prefix}leadsaga.commands"

    @property
    def replies_exchange(self) -> str:
        return f"{self.prefix}leadsaga.replies"

    @property
    def events_exchange(self) -> str:
        """Topic; upstream services bind their own queue with `<tenant>.#`."""
        return f"{self.prefix}leadsaga.events"

    @property
    def dead_exchange(self) -> str:
        """Direct; the routing key is the name of the queue that the message died in."""
        return f"{self.prefix}leadsaga.dead"

    def queue(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def dead_queue(self, name: str) -> str:
        return f"{self.prefix}{name}.dead"


def request_key(tenant_id: str, request_type: str) -> str:
    return f"{tenant_id}.{request_type}"


def event_key(tenant_id: str, event: str) -> str:
    return f"{tenant_id}.{event}"


def heard_queue(step: str) -> str:
    """The queue of a step that listens to events."""
    return f"{step}.heard"


def is_heard(queue: str) -> bool:
    return queue.endswith(heard_queue(""))
