"""The only broker code of the steps: take a bundle, run it, publish what came of it, acknowledge."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from contracts.bundle import Bundle, encode
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
    bundles_ahead: int = 4
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
        if not replies:
            return []
        body = encode(list(replies))
        return [Outgoing(exchange=self.names.replies_exchange, routing_key=REPLIES, body=body)]

    async def publish(self, answers: Answers) -> None:
        """Events first: who hears a reply may count on them. Repeated until confirmed."""
        events = [
            Outgoing(
                exchange=self.names.events_exchange,
                routing_key=event_key(event.tenant_id, event.event),
                body=event.model_dump_json().encode(),
                mandatory=False,
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

    async def take(self, delivery: Delivery) -> None:
        commands, misplaced = self._sort(delivery.sound)
        async with self._turn(commands):
            await self._take(delivery, commands, misplaced)

    def _turn(self, commands: list[Command]) -> AbstractAsyncContextManager[None]:
        """A message to a step that calls a vendor carries one command."""
        if self.turns is None or not commands:
            return nullcontext()
        return self.turns.take(commands[0].tenant_id)

    async def _take(
        self, delivery: Delivery, commands: list[Command], misplaced: list[tuple[Command, str]]
    ) -> None:
        with (
            observe.SECONDS.labels(self.name).time(),
            observe.RUNNING.labels(self.name).track_inprogress(),
            structlog.contextvars.bound_contextvars(**_ids(commands)),
        ):
            answers = await self._run(commands, delivery)
            answers.dead += misplaced
            await self.consumer.publish(answers)
            await self.consumer.bury(self.name, delivery, answers.dead)
        for reply in answers.replies:
            observe.ATTEMPTS.labels(self.name, reply.direction, reply.outcome.kind).inc()
        self.consumer.taken.set()

    def _sort(self, commands: list[Command]) -> tuple[list[Command], list[tuple[Command, str]]]:
        mine, misplaced = [], []
        step = self.consumer.step
        for command in commands:
            queue = step.name if command.direction == "do" else step.undo_name
            if command.step == step.name and queue == self.name:
                mine.append(command)
            else:
                misplaced.append((command, f"a command of another queue arrived in {self.name}"))
        return mine, misplaced

    async def _run(self, commands: list[Command], delivery: Delivery) -> Answers:
        memory, client = self.consumer.memory, self.consumer.client
        forgiving = delivery.count < FORGIVEN
        match self.work:
            case Batch() as batch if delivery.count < SUSPECT_FROM:
                return await patiently(lambda: run_batch(memory, batch, commands))
            case Batch() as batch:
                async with self.consumer.alone:
                    run = partial(run_alone, memory, batch)
                    return await run_suspects(memory, commands, run, forgiving=forgiving)
            case Single() as single:
                answers = Answers()
                again = delivery.redelivered
                run_one = partial(run_single, memory, single, client, redelivered=again, forgiving=forgiving)
                async with self.consumer.alone if delivery.count >= SUSPECT_FROM else nullcontext():
                    for command in commands:
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


def _ids(commands: Sequence[Command]) -> dict[str, Any]:
    if len(commands) != 1:
        return {"commands": len(commands)}
    command = commands[0]
    return {
        "saga": str(command.saga_id),
        "step": command.step,
        "attempt": command.attempt,
        "tenant": command.tenant_id,
    }
