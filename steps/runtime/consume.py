"""The only broker code of the steps: take a bundle, run it, publish what came of it, acknowledge."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from contracts.bundle import Bundle, bundles, encode, joined
from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.names import REPLIES, Names, event_key, heard_queue
from contracts.process import logs
from contracts.process.consuming import Delivery, Subscription
from contracts.process.postgres import AGAIN, AWAY, log_name
from contracts.process.publishing import NotPublished, Outgoing, Publishes
from steps.runtime import observe
from steps.runtime.batch import UNANSWERABLE, Answers, run_alone, run_batch
from steps.runtime.effects import NO_SAGA, Memory
from steps.runtime.heard import hear
from steps.runtime.patience import PAUSE, patiently
from steps.runtime.single import POISON, DatabaseAway, run_single
from steps.runtime.step import Batch, Single, Step, Work
from steps.runtime.suspect import run_suspects
from steps.runtime.together import Taken, Together
from steps.runtime.turns import AHEAD, Turns

log = logs.get("runtime")

SUSPECT_FROM = 2
"""A bundle delivered more often than this may hold a command that kills its process."""

FORGIVEN = 20
"""Deliveries of a bundle that may be broken off with nobody to blame. A command that blocks its process for
longer than the broker waits, and then goes on, kills nobody, loses its channel each time, and would be begun
for ever: after these, to be broken off counts as a death."""

ERRORS = {POISON: "Poison", NO_SAGA: "NoSaga", UNANSWERABLE: "Unanswerable"}
"""The class of each reason to give a command up."""


@dataclass(slots=True)
class Consumer:
    """Runs the commands of one step's queues."""

    step: Step
    names: Names
    memory: Memory
    publisher: Publishes
    client: Any = None
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a command was taken: the background job may have something to do."""
    bundles_ahead: int = 16
    side_by_side: int = 8
    turns: list[Turns] = field(default_factory=list)
    """Of the queues whose attempts call a vendor."""
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a suspect runs, and shared by all steps of a process: side by side with the culprit,
    innocent ones would be begun as often as it is, and be taken for poison too."""

    def subscriptions(self) -> list[Subscription]:
        found = [self._commands(queue, work) for queue, work in self.step.work().items()]
        return [*found, self._events()] if self.step.hears else found

    def _commands(self, queue: str, work: Work) -> Subscription:
        return Subscription(
            queue=self.names.queue(queue),
            item_type=Command,
            payload=Bundle[Command],
            handler=_Queue(self, queue, work, self._turns(work)).take,
            prefetch=self._ahead(work),
            description=f"Commands of {queue}; answered by replies",
        )

    def _ahead(self, work: Work) -> int:
        """Messages that may be taken before the first of them is acknowledged."""
        match work:
            case Batch():
                return self.bundles_ahead
            case Single():
                return AHEAD * (work.side_by_side or self.side_by_side)

    def _turns(self, work: Work) -> Turns | None:
        if not isinstance(work, Single):
            return None
        self.turns.append(turns := Turns(work.side_by_side or self.side_by_side))
        return turns

    def close(self) -> None:
        """What was taken and not begun is left to another process."""
        for turns in self.turns:
            turns.close()

    def _events(self) -> Subscription:
        return Subscription(
            queue=self.names.queue(heard_queue(self.step.name)),
            item_type=Event,
            payload=Bundle[Event],
            handler=self._hear,
            prefetch=self.bundles_ahead,
            description=f"Events that {self.step.name} wants to hear",
        )

    async def _hear(self, delivery: Delivery) -> None:
        await patiently(lambda: hear(self.memory, self.step, delivery.sound))
        await self.bury(heard_queue(self.step.name), delivery, ())
        self.taken.set()

    async def answer(self, replies: Sequence[Reply]) -> None:
        await self.publisher.publish(self._replies(replies), name="owed")

    def _replies(self, replies: Sequence[Reply]) -> list[Outgoing]:
        bodies, exchange = map(joined, bundles(replies)), self.names.replies_exchange
        return [Outgoing(exchange=exchange, routing_key=REPLIES, body=body) for body in bodies]

    async def publish(self, answers: Answers) -> None:
        """Events first: who hears a reply may count on them. Repeated until confirmed."""
        events = [
            Outgoing(
                exchange=self.names.events_exchange,
                routing_key=event_key(event.tenant_id, event.event),
                body=event.model_dump_json().encode(),
                mandatory=False,
                message_id=str(event.event_id),
                headers={"event-id": str(event.event_id)},
            )
            for event in answers.events
        ]
        await self._confirmed("events", events)
        await self._confirmed("replies", self._replies(answers.replies))

    async def bury(self, queue: str, delivery: Delivery, dead: Sequence[tuple[Command, str]]) -> None:
        """Sends what cannot be carried out to the dead letters, each item alone, with its reason."""
        given_up = [
            (str(place), delivery.exact(item.raw), "Malformed", item.reason)
            for place, item in enumerate(delivery.malformed)
        ]
        given_up += [
            (_named(command), encode([command]), ERRORS.get(reason, "WrongQueue"), reason)
            for command, reason in dead
        ]
        # The same item of the same message has the same id, whatever else is given up beside it.
        message_id = delivery.message_id or hashlib.sha256(delivery.body).hexdigest()
        letters = [
            Outgoing(
                exchange=self.names.dead_exchange,
                # What is heard lies with the step's own dead letters.
                routing_key=self.step.name if queue == heard_queue(self.step.name) else queue,
                body=raw,
                message_id=f"{message_id}:{item}",
                headers={
                    "error": error,
                    "reason": reason,
                    "queue": queue,
                    "routing-key": delivery.routing_key,
                },
            )
            for item, raw, error, reason in given_up
        ]
        if letters:
            observe.DEAD.labels(self.step.name).inc(len(letters))
            log.warning("dead_lettered", queue=queue, reasons=sorted({each[3] for each in given_up}))
            await self._confirmed("dead_letters", letters)

    async def _confirmed(self, name: str, messages: Sequence[Outgoing]) -> None:
        while messages:
            try:
                await self.publisher.publish(messages, name=name)
            except NotPublished as error:
                messages = error.left
                observe.PUBLISH_FAILURES.labels(self.step.name).inc()
                log.warning("publish_not_confirmed", **logs.fault(error))
                await asyncio.sleep(PAUSE)
            else:
                return


@dataclass(slots=True)
class _Queue:
    consumer: Consumer
    name: str
    work: Work
    turns: Turns | None
    together: Together = field(init=False)

    def __post_init__(self) -> None:
        self.together = Together(self._run_together, self._tell)

    async def take(self, delivery: Delivery) -> None:
        taken = self._sort(delivery)
        seconds, running = observe.SECONDS.labels(self.name), observe.RUNNING.labels(self.name)
        async with self._turn(taken.commands):
            with seconds.time(), running.track_inprogress():
                if isinstance(self.work, Batch) and delivery.count < SUSPECT_FROM:
                    await self.together.take(taken)
                else:
                    await self._tell([taken], await self._run_alone(taken))

    def _turn(self, commands: list[Command]) -> AbstractAsyncContextManager[None]:
        """A message to a step that calls a vendor carries one command."""
        if self.turns is None or not commands:
            return nullcontext()
        return self.turns.take(commands[0].tenant_id)

    def _sort(self, delivery: Delivery) -> Taken:
        taken = Taken(delivery, [], [])
        step = self.consumer.step
        for command in delivery.sound:
            queue = step.name if command.direction == "do" else step.undo_name
            if command.step == step.name and queue == self.name:
                taken.commands.append(command)
            else:
                taken.misplaced.append((command, f"a command of another queue arrived in {self.name}"))
        return taken

    async def _tell(self, taken: Sequence[Taken], answers: Answers) -> None:
        """Of several deliveries that were carried out together: what came of all is published together."""
        with _in_the_logs(_commands(taken)):
            await self.consumer.publish(answers)
            for each in taken:
                await self.consumer.bury(self.name, each.delivery, each.given_up(answers))
        counted = Counter((reply.direction, reply.outcome.kind) for reply in answers.replies)
        for (direction, kind), number in counted.items():
            observe.ATTEMPTS.labels(self.name, direction, kind).inc(number)
        self.consumer.taken.set()

    async def _run_together(self, taken: Sequence[Taken]) -> Answers:
        assert isinstance(self.work, Batch)
        commands = _commands(taken)
        fresh = not any(each.delivery.redelivered for each in taken)
        run = partial(run_batch, self.consumer.memory, self.work, commands, fresh=fresh)
        with _in_the_logs(commands):
            return await patiently(run)

    async def _run_alone(self, taken: Taken) -> Answers:
        memory, client, delivery = self.consumer.memory, self.consumer.client, taken.delivery
        suspected, forgiving = delivery.count >= SUSPECT_FROM, delivery.count < FORGIVEN
        async with self.consumer.alone if suspected else nullcontext():
            with _in_the_logs(taken.commands):
                if isinstance(self.work, Batch):
                    run = partial(run_alone, memory, self.work)
                    return await run_suspects(memory, taken.commands, run, forgiving=forgiving)
                answers, again = Answers(), delivery.redelivered
                run_one = partial(
                    run_single, memory, self.work, client, redelivered=again, forgiving=forgiving
                )
                for command in taken.commands:
                    answers.add(await _resuming(partial(run_one, command)))
                return answers


async def _resuming(run: Callable[..., Awaitable[Answers]]) -> Answers:
    """Like any redelivery, another try after the database was away takes over what it had begun itself; if it
    had begun nothing, it is as new as before."""
    resumed = False
    while True:
        try:
            return await run(resumed=resumed)
        except (*AWAY, *AGAIN) as error:
            log.warning(log_name(error), **logs.fault(error))
            await asyncio.sleep(PAUSE)
            resumed = resumed or isinstance(error, DatabaseAway)


def _named(command: Command) -> str:
    return f"{command.saga_id}:{command.step}:{command.direction}:{command.attempt}"


def _commands(taken: Sequence[Taken]) -> list[Command]:
    return [command for each in taken for command in each.commands]


def _in_the_logs(commands: Sequence[Command]) -> AbstractContextManager[None]:
    """Whose commands they are, in every line of what is done meanwhile."""
    if len(commands) != 1:
        return structlog.contextvars.bound_contextvars(commands=len(commands))
    command = commands[0]
    return structlog.contextvars.bound_contextvars(
        saga=str(command.saga_id), step=command.step, attempt=command.attempt, tenant=command.tenant_id
    )
