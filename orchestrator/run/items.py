"""What arrives at the orchestrator, and what leaves it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from contracts.messages import Command, Reply
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, TenantRequested
from orchestrator.store.port import EventOut, Letter, Order, Refusal, SagaKey


@dataclass(frozen=True, slots=True)
class Asked:
    """A request from upstream. `raw`: its exact bytes, if it did not share a message with others."""

    kind: ClassVar = "request"
    request: LeadRequested | CancelRequested | RefundRequested | TenantRequested
    redelivered: bool = False
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply from a step."""

    kind: ClassVar = "reply"
    reply: Reply
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Died:
    """A message that ended in a dead-letter queue; `command` if it could be read."""

    kind: ClassVar = "dead_letter"
    letter: Letter
    command: Command | None = None


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """A message that makes no sense. `refusal`: what its sender hears, if it says who asked for what.
    `audited`: it spoke in another tenant's name."""

    kind: ClassVar = "malformed"
    letter: Letter
    refusal: EventOut | None = None
    audited: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Woken:
    """A saga whose time may have come."""

    kind: ClassVar = "timer"
    key: SagaKey


@dataclass(frozen=True, slots=True)
class Ordered:
    kind: ClassVar = "order"
    order: Order


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time went by: sagas that wait for their turn may get it."""

    kind: ClassVar = "tick"


Item = Asked | Answered | Died | Misunderstood | Woken | Ordered | Tick


def size(items: Sequence[Item]) -> int:
    """Bytes of messages that they keep whole."""
    return sum(_size(item) for item in items)


def _size(item: Item) -> int:
    match item:
        case Asked():
            return len(item.raw)
        case Died(letter) | Misunderstood(letter):
            return len(letter.message)
        case Answered() | Woken() | Ordered() | Tick():
            return 0


@dataclass(slots=True)
class Outbox:
    """To be published after the commit. `commands` by queue."""

    commands: dict[str, list[Command]] = field(default_factory=dict)
    events: list[EventOut] = field(default_factory=list)

    def send(self, queue: str, command: Command) -> None:
        self.commands.setdefault(queue, []).append(command)
