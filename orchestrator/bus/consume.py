"""What the orchestrator hears: requests, replies, and what died in any queue."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from contracts.bundle import Bundle, Malformed
from contracts.messages import Command, Reply
from contracts.names import REPLIES, REQUESTS, Names
from contracts.process import logs
from contracts.process.consuming import Delivery, Subscription
from contracts.requests import Request
from orchestrator.bus.drain import Drain
from orchestrator.bus.senders import Forged, Senders
from orchestrator.observe import metrics
from orchestrator.run.items import Answered, Asked, Misunderstood
from orchestrator.run.letters import FORGED, Death, letter_of, sender
from orchestrator.run.loop import Loop
from orchestrator.run.speech import Asker, refusal_to
from orchestrator.store.port import EventOut, Letter, Refusal

log = logs.get("orchestrator")

MAX_BYTES = 256_000
"""A request that is larger than this is not one of ours."""

DEAD_AHEAD = 10
"""Messages taken ahead from each dead-letter queue. There is one for every queue of every step, what died is
often a whole bundle, and nobody waits for it: there is no reason to hold more."""


@dataclass(slots=True)
class Ears:
    loop: Loop
    front: Loop
    """Handles requests only, one group after another: they are decided in the order in which they came."""
    names: Names
    ahead: int = 100
    """Messages that may be taken from a queue before the first of them is acknowledged: they become one
    group."""
    senders: Senders = Senders()  # noqa: RUF009 - frozen

    def subscriptions(self, queues: Sequence[str]) -> list[Subscription]:
        """`queues`: the work queues of all steps, whose dead letters are drained too."""
        requests = Subscription(
            queue=self.names.queue(REQUESTS),
            item_type=Request,
            payload=Request,
            handler=self._requests,
            prefetch=self.ahead,
            description="Requests of upstream services, routed by <tenant>.<type>",
        )
        replies = Subscription(
            queue=self.names.queue(REPLIES),
            item_type=Reply,
            payload=Bundle[Reply],
            handler=self._replies,
            prefetch=self.ahead,
            description="Answers of steps to commands",
        )
        return [requests, replies, *(self._drain(queue) for queue in [REQUESTS, REPLIES, *queues])]

    def _drain(self, queue: str) -> Subscription:
        return Subscription(
            queue=self.names.dead_queue(queue),
            item_type=None,
            payload=Bundle[Command],
            handler=Drain(self.loop, self.names, queue, self.senders).take,
            prefetch=DEAD_AHEAD,
            description=f"What could not be carried out in {queue}",
        )

    async def _requests(self, delivery: Delivery) -> None:
        if len(delivery.body) > MAX_BYTES:
            too_large = Malformed(delivery.body, f"larger than {MAX_BYTES} bytes")
            delivery = replace(delivery, items=[too_large])
        key, user = delivery.routing_key, delivery.user
        delivery = replace(delivery, items=[self.senders.believed(it, key, user) for it in delivery.items])
        raw = delivery.body if len(delivery.items) == 1 else b""
        await self.front.handle([Asked(each, delivery.redelivered, raw) for each in delivery.sound])
        await self._bury(REQUESTS, delivery)

    async def _replies(self, delivery: Delivery) -> None:
        await self.loop.handle([Answered(reply, delivery.redelivered) for reply in delivery.sound])
        await self._bury(REPLIES, delivery)

    async def _bury(self, queue: str, delivery: Delivery) -> None:
        if not delivery.malformed:
            return
        metrics.MALFORMED.labels(queue).inc(len(delivery.malformed))
        log.warning("malformed", queue=queue, reasons=[each.reason for each in delivery.malformed])
        await self.loop.handle([self._misunderstood(queue, delivery, each) for each in delivery.malformed])

    def _misunderstood(self, queue: str, delivery: Delivery, each: Malformed) -> Misunderstood:
        letter = self._letter(queue, delivery, each)
        if queue != REQUESTS:
            return Misunderstood(letter)
        if not isinstance(each, Forged):
            return Misunderstood(letter, self._refusal(delivery, each))
        refused = Refusal(
            tenant_id=each.tenant_id,
            routing_key=delivery.routing_key,
            user=delivery.user,
            reason=each.reason,
            message_id=letter.message_id,
        )
        return Misunderstood(letter, audited=refused)

    def _letter(self, queue: str, delivery: Delivery, each: Malformed) -> Letter:
        error = each.error if isinstance(each, Forged) else "Malformed"
        death = Death(queue=queue, routing_key=delivery.routing_key, error=error, reason=each.reason)
        letter = letter_of(self.loop.around.new_id, death, delivery.exact(each.raw))
        if queue != REQUESTS:
            return letter
        return replace(letter, tenant_id=sender(delivery.user if error == FORGED else delivery.routing_key))

    def _refusal(self, delivery: Delivery, each: Malformed) -> EventOut | None:
        """Whoever may publish for a tenant hears what was wrong, and nobody else does."""
        try:
            asker = Asker.model_validate_json(each.raw)
        except ValidationError:
            return None
        if asker.tenant_id != sender(delivery.routing_key):
            return None
        said = hashlib.sha256(each.raw).hexdigest()
        return refusal_to(asker, said, each.reason, self.loop.around.clock())
