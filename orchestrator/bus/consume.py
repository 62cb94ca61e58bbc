"""What the orchestrator hears: requests, replies, and what died in any queue."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from faststream.rabbit import RabbitBroker
from pydantic import ValidationError

from contracts.bundle import Bundle, Malformed, decode, encode
from contracts.messages import Command, Reply
from contracts.names import REPLIES, REQUESTS, Names
from contracts.process import logs
from contracts.process.consuming import Delivery, subscribe
from contracts.requests import Request
from orchestrator.observe import metrics
from orchestrator.run.items import Answered, Asked, Died, Item, Misunderstood
from orchestrator.run.loop import Loop
from orchestrator.run.speech import Asker, refusal_to
from orchestrator.store.port import EventOut, Letter

log = logs.get("orchestrator")

MESSAGES_AHEAD = 100
"""Messages that may be taken before the first of them is acknowledged: they become one group."""

MAX_BYTES = 256_000
"""A request that is larger than this is not one of ours."""


@dataclass(slots=True)
class Ears:
    loop: Loop
    front: Loop
    """Handles requests only, one group after another: they are decided in the order in which they came."""
    names: Names

    def subscribe(self, broker: RabbitBroker, queues: Sequence[str]) -> None:
        """`queues`: the work queues of all steps, whose dead letters are drained too."""
        subscribe(
            broker,
            self.names.queue(REQUESTS),
            Request,
            Request,
            self._requests,
            prefetch=MESSAGES_AHEAD,
            description="Requests of upstream services, routed by <tenant>.<type>",
        )
        subscribe(
            broker,
            self.names.queue(REPLIES),
            Reply,
            Bundle[Reply],
            self._replies,
            prefetch=MESSAGES_AHEAD,
            description="Answers of steps to commands",
        )
        for queue in [REQUESTS, REPLIES, *queues]:
            subscribe(
                broker,
                self.names.dead_queue(queue),
                None,
                Bundle[Command],
                _Drain(self, queue).take,
                prefetch=10,
                description=f"What could not be carried out in {queue}",
            )

    async def _requests(self, delivery: Delivery) -> None:
        if len(delivery.body) > MAX_BYTES:
            too_large = Malformed(delivery.body, f"larger than {MAX_BYTES} bytes")
            delivery = replace(delivery, items=[too_large])
        tenant = _tenant_of(delivery)
        items: list[Item] = []
        for request in delivery.sound:
            if request.tenant_id == tenant:
                items.append(Asked(request, delivery.redelivered))
            else:
                reason = "the message names another tenant than its routing key"
                delivery.items.append(Malformed(request.model_dump_json().encode(), reason))
        await self.front.handle(items)
        await self._bury(REQUESTS, delivery)

    async def _replies(self, delivery: Delivery) -> None:
        await self.loop.handle([Answered(reply, delivery.redelivered) for reply in delivery.sound])
        await self._bury(REPLIES, delivery)

    async def _bury(self, queue: str, delivery: Delivery) -> None:
        if not delivery.malformed:
            return
        metrics.MALFORMED.labels(queue).inc(len(delivery.malformed))
        log.warning("malformed", queue=queue, reasons=[each.reason for each in delivery.malformed])
        await self.loop.handle(
            [
                Misunderstood(
                    self.letter(queue, delivery, number, "Malformed", each.reason, each.raw),
                    self._refusal(delivery, each) if queue == REQUESTS else None,
                )
                for number, each in enumerate(delivery.malformed)
            ]
        )

    def _refusal(self, delivery: Delivery, each: Malformed) -> EventOut | None:
        """Whoever may publish for a tenant hears what was wrong, and nobody else does."""
        try:
            asker = Asker.model_validate_json(each.raw)
        except ValidationError:
            return None
        if asker.tenant_id != _tenant_of(delivery):
            return None
        said = hashlib.sha256(each.raw).hexdigest()
        return refusal_to(asker, said, each.reason, self.loop.around.clock())

    def letter(  # noqa: PLR0913, PLR0917 - the columns of a letter
        self, queue: str, delivery: Delivery, number: int, error: str, reason: str, raw: bytes
    ) -> Letter:
        """Unique by message and item, so that what is delivered again is buried once. The body counts, for
        some senders give all their messages the same id."""
        body = hashlib.sha256(delivery.body).hexdigest()[:16]
        return Letter(
            dead_letter_id=self.loop.around.new_id(),
            queue=queue,
            message_id=f"{delivery.message_id}:{body}:{number}",
            error=error,
            reason=reason,
            message=delivery.exact(raw),
        )


@dataclass(slots=True)
class _Drain:
    """Moves what died in one queue into the dead letters. Row and news commit together, before the ack."""

    ears: Ears
    queue: str

    async def take(self, delivery: Delivery) -> None:
        died = str(delivery.headers.get("x-first-death-reason", "rejected"))
        error = str(delivery.headers.get("error", "BrokerGaveUp"))
        reason = str(delivery.headers.get("reason", f"the broker gave the message up: {died}"))
        delivery = replace(delivery, items=decode(delivery.body, Command))
        items = list[Item]()
        for number, command in enumerate(delivery.items):
            raw = command.raw if isinstance(command, Malformed) else encode([command])
            letter = self.ears.letter(self.queue, delivery, number, error, reason, raw)
            if isinstance(command, Command):
                items.append(Died(_of_saga(letter, command), command))
            else:
                items.append(Died(letter))
        await self.ears.loop.handle(items)


def _tenant_of(delivery: Delivery) -> str:
    """The broker lets an upstream service publish only under its own tenant's keys."""
    return delivery.routing_key.split(".", 1)[0]


def _of_saga(letter: Letter, command: Command) -> Letter:
    return replace(
        letter,
        tenant_id=command.tenant_id,
        saga_id=command.saga_id,
        saga=command.saga,
        step=command.step,
        direction=command.direction,
        attempt=command.attempt,
    )
