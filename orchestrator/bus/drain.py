"""Moving what died in one queue into the dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from contracts.bundle import Malformed, decode
from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.names import REPLIES, REQUESTS, Names, heard_queue, is_heard
from contracts.process import logs
from contracts.process.consuming import Delivery
from contracts.requests import Request
from orchestrator.bus.senders import Senders
from orchestrator.run.items import Died, Item
from orchestrator.run.letters import FORGED, Death, about, letter_of, sender
from orchestrator.run.loop import Loop
from orchestrator.store.port import Letter

log = logs.get("orchestrator")

GAVE_UP = {
    "rejected": "its reader failed on it",
    "delivery_limit": "its reader ended again and again before it could say what is wrong with it",
}
"""Why the broker moves a message into a dead-letter queue."""


@dataclass(slots=True)
class Drain:
    """Row and news commit together, before the ack."""

    loop: Loop
    names: Names
    queue: str
    senders: Senders = Senders()  # noqa: RUF009 - frozen

    async def take(self, delivery: Delivery) -> None:
        """Must not raise: a dead letter that is rejected has nowhere else to go, and would be lost."""
        try:
            items = self._items(delivery)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, its bytes are kept
            log.warning("dead_letter_not_read", queue=self.queue, **logs.fault(error))
            items = [Died(letter_of(self.loop.around.new_id, self._unread, delivery.body))]
        await self.loop.handle(items)

    @property
    def _unread(self) -> Death:
        reason = "what died cannot even be taken apart; the orchestrator's log says why"
        return Death(queue=self.queue, routing_key=None, error="Unreadable", reason=reason)

    def _items(self, delivery: Delivery) -> list[Item]:
        death = death_of(delivery.headers, self.queue, self.names)
        delivery = replace(delivery, items=decode(delivery.body, kind_of(death.queue)))
        return [self._item(death, delivery, each) for each in delivery.items]

    def _item(self, death: Death, delivery: Delivery, each: Any) -> Item:
        raw = each.raw if isinstance(each, Malformed) else each.model_dump_json().encode()
        letter = letter_of(self.loop.around.new_id, death, delivery.exact(raw))
        match each:
            case Command():
                return Died(about(letter, each), each)
            case Reply():
                return Died(about(letter, each))
            case _:
                return Died(self._judged(_of_tenant(letter, each), delivery.user))

    def _judged(self, letter: Letter, user: str) -> Letter:
        """Published again, it would come from a user that may speak for all tenants."""
        if letter.queue != REQUESTS or self.senders.may_speak(user, letter.tenant_id or ""):
            return letter
        return replace(letter, error=FORGED, tenant_id=sender(user))


def kind_of(queue: str) -> Any:
    """What messages in a queue are."""
    if is_heard(queue):
        return Event
    return {REQUESTS: Request, REPLIES: Reply}.get(queue, Command)


def death_of(headers: Mapping[str, Any], grave: str, names: Names) -> Death:
    """`grave`: the queue whose dead-letter queue a message lay in; the queue of the events that a step hears
    shares the step's. What the broker moved tells of that, newest first; what a step buried says more."""
    moved = headers.get("x-death")
    if isinstance(moved, list) and moved and isinstance(moved[0], Mapping):
        return _given_up(moved[0], grave, names)
    if grave in {REQUESTS, REPLIES}:
        # Only the broker moves these: whatever the headers say was said by their sender.
        return Death(queue=grave, routing_key=None, error="BrokerGaveUp", reason="nobody knows why")
    queue = heard_queue(grave) if headers.get("queue") == heard_queue(grave) else grave
    return Death(
        queue=queue,
        routing_key=str(headers.get("routing-key", "")) or (queue if queue == grave else None),
        error=str(headers.get("error", "Buried")),
        reason=str(headers.get("reason", "the step gave it up, and does not say why")),
    )


def _given_up(moved: Mapping[str, Any], grave: str, names: Names) -> Death:
    queue = str(moved.get("queue", "")).removeprefix(names.prefix)
    keys, why = moved.get("routing-keys"), str(moved.get("reason"))
    return Death(
        queue=queue if queue == heard_queue(grave) else grave,
        routing_key=str(keys[0]) if isinstance(keys, list) and keys else None,
        error="BrokerGaveUp",
        reason=f"the broker gave the message up: {GAVE_UP.get(why, why)}",
    )


def _of_tenant(letter: Letter, each: Any) -> Letter:
    """Requests and events come under their tenant's key, so it is known of those that cannot be read too. A
    command or reply that cannot be read names nobody."""
    if letter.queue != REQUESTS and not is_heard(letter.queue):
        return letter
    tenant_id = sender(letter.routing_key or "") or getattr(each, "tenant_id", None)
    return replace(letter, tenant_id=tenant_id)
