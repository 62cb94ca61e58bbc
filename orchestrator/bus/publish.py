"""From an outbox to the broker: commands in bundles, events one by one, all confirmed."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

from contracts.bundle import bundles, joined
from contracts.names import Names, event_key
from contracts.process import logs
from contracts.process.publishing import NotPublished, Outgoing, Publishes
from orchestrator.core.definition import Saga
from orchestrator.observe import metrics
from orchestrator.run.items import Outbox
from orchestrator.run.loop import Publish

log = logs.get("orchestrator")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def publisher_of(
    publisher: Publishes,
    names: Names,
    bounds: Mapping[str, int],
    confirmed: Callable[[Sequence[UUID]], None],
) -> Publish:
    """`bounds`: commands in one message, by queue. `confirmed` hears the ids of events the broker has."""

    async def publish(outbox: Outbox) -> None:
        messages = [*_commands(outbox, names, bounds), *_events(outbox, names)]
        pause = FIRST_PAUSE
        while messages:
            try:
                await publisher.publish(messages, name="outbox")
                break
            except NotPublished as error:
                messages = list(error.left)
                # Nothing more is taken meanwhile: the loop waits here, and its sources stay unacknowledged.
                metrics.PUBLISH_FAILURES.inc()
                log.warning("publish_not_confirmed", **logs.fault(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        confirmed([event.event_id for event in outbox.events])

    return publish


def bundle_bounds(sagas: Sequence[Saga]) -> dict[str, int]:
    return {step.name: step.bundle for saga in sagas for step in saga.steps}


def _commands(outbox: Outbox, names: Names, bounds: Mapping[str, int]) -> Iterator[Outgoing]:
    for queue, commands in outbox.commands.items():
        for bundle in bundles(commands, bounds.get(queue, 200)):
            yield Outgoing(exchange=names.commands_exchange, routing_key=queue, body=joined(bundle))


def _events(outbox: Outbox, names: Names) -> Iterator[Outgoing]:
    for event in outbox.events:
        yield Outgoing(
            exchange=names.events_exchange,
            routing_key=event_key(event.tenant_id, event.event),
            body=event.body.encode(),
            mandatory=False,
            message_id=str(event.event_id),
            headers={"event-id": str(event.event_id)},
        )
