"""One group: everything that waits, in one transaction. Locks, decides, appends; what is to be published is
returned, and published only after the commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from contracts.messages import Command
from contracts.process import crash
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry, Parked, Requested, Resent
from orchestrator.core.machine import decide
from orchestrator.core.news import DeadLettered, Deadline, Due, News, Replied, Start
from orchestrator.core.state import State, evolve
from orchestrator.run import letters, orders, speech, starter
from orchestrator.run.intake import Intake, take_in
from orchestrator.run.items import Answered, Asked, Died, Item, Misunderstood, Ordered, Outbox, Tick, Woken
from orchestrator.sagas import CURRENT, Sagas
from orchestrator.store.port import (
    Change,
    Foreign,
    Group,
    Letter,
    Order,
    Refusal,
    SagaKey,
    Store,
    Stored,
)

UNKNOWN_SAGA = "there is no such saga"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the core must not have: clock, chance, fresh identities. `limit`: sagas in flight at most."""

    store: Store
    sagas: Sagas
    clock: Callable[[], datetime]
    draw: Callable[[], float]
    new_id: Callable[[], UUID]
    limit: int


@dataclass(slots=True)
class _Work:
    """One saga in this group: where it stood, what was appended, where it stands."""

    before: Stored
    saga: Saga
    state: State
    entries: list[Entry] = field(default_factory=list)
    resend: bool = False

    def take(self, news: News) -> tuple[Entry, ...]:
        entries = decide(self.saga, self.state, news)
        for entry in entries:
            self.state = evolve(self.saga, self.state, entry)
        self.entries += entries
        return entries

    @property
    def sends(self) -> bool:
        """Whether the command that is now awaited has to be sent: asked for, or due again, in this group."""
        asked = any(isinstance(entry, Requested | Resent) for entry in self.entries)
        return self.state.waits_for == "reply" and (asked or self.resend)


@dataclass(slots=True)
class Report:
    """What a group did, for logs and metrics."""

    outbox: Outbox = field(default_factory=Outbox)
    appended: list[tuple[SagaKey, Saga, tuple[Entry, ...]]] = field(default_factory=list)
    unknown: int = 0
    """Replies for sagas that do not exist."""
    foreign: int = 0
    """Replies for foreign sagas, let go."""
    stale: int = 0
    """Replies that nobody waits for any more."""


async def process(around: Surroundings, items: Sequence[Item]) -> Report:
    """Raises what the store raises; then nothing of the group happened."""
    kinds = sorted({item.kind for item in items})
    async with around.store.group() as group:
        report = await _Session(around, group, around.clock()).run(items)
        for kind in kinds:
            crash.point(f"group.{kind}", "commit")
    for kind in kinds:
        crash.point(f"group.{kind}", "committed")
    return report


class _Session:
    def __init__(self, around: Surroundings, group: Group, at: datetime) -> None:
        self.around = around
        self.group = group
        self.at = at
        self.work: dict[SagaKey, _Work] = {}
        self.foreign: set[SagaKey] = set()
        self.report = Report()
        self.letters: list[Letter] = []
        self.orders: list[tuple[UUID, str]] = []
        self.audited: list[Refusal] = []

    async def run(self, items: Sequence[Item]) -> Report:
        current = {saga.name: self.around.sagas[saga.name, saga.version] for saga in CURRENT}
        asked = [item for item in items if isinstance(item, Asked)]
        intake = await take_in(self.group, asked, current, self.at, self.around.new_id)
        await self._open(intake, items)
        for key, news in intake.news:
            self.work[key].take(news)
        for item in items:
            self._hear(item)
        for key, item in intake.attached:
            if key in self.foreign:
                # Of a state that cannot be read only this is known: that the request was accepted.
                intake.events.append(speech.accepted_still(item.request, key, self.at))
            else:
                self._attach(self.work[key], item)
        if intake.created or any(isinstance(item, Tick) for item in items):
            await self._start(list(intake.created))
        self.report.outbox.events += intake.events
        await self._save()
        return self.report

    async def _open(self, intake: Intake, items: Sequence[Item]) -> None:
        keys = {key for item in items if (key := _key_of(item)) is not None}
        keys |= {key for key, _ in intake.news} | {key for key, _ in intake.attached}
        stored = await self.group.load(keys - intake.created.keys())
        self._take_up(stored | intake.created)

    def _take_up(self, found: Mapping[SagaKey, Stored | Foreign]) -> None:
        for key, before in found.items():
            if isinstance(before, Foreign):
                self.foreign.add(key)
            else:
                saga = self.around.sagas[before.saga, before.version]
                self.work[key] = _Work(before, saga, before.state)

    def _hear(self, item: Item) -> None:
        match item:
            case Answered():
                self._answered(item)
            case Died():
                self._died(item)
            case Misunderstood(letter, refusal, audited):
                self.letters.append(letter)
                self.report.outbox.events += [refusal] if refusal else []
                self.audited += [audited] if audited else []
            case Woken(key) if key in self.work:
                work = self.work[key]
                work.take(Due(at=self.at))
                work.take(Deadline(at=self.at))
            case Ordered(order):
                self.orders.append((order.order_id, self._order(order)))
            case _:
                pass

    def _answered(self, item: Answered) -> None:
        reply = item.reply
        key = (reply.tenant_id, reply.saga_id)
        if key in self.foreign:
            # To hold it would stop everything behind it. A process that knows the version misses the answer,
            # sends the command again, and the step repeats what it has answered.
            self.report.foreign += 1
            return
        work = self.work.get(key)
        if work is None:
            self.report.unknown += 1
            return
        news = Replied(
            at=self.at,
            step=reply.step,
            direction=reply.direction,
            attempt=reply.attempt,
            outcome=reply.outcome,
            draw=self.around.draw(),
        )
        if work.take(news):
            return
        self.report.stale += 1
        # We may have crashed between commit and publish. Only the answer that caused the awaited command
        # sends it again: to do so for any stale answer would make duplicates immortal.
        if item.redelivered and work.state.cause == (reply.step, reply.direction, reply.attempt):
            work.resend = True

    def _died(self, item: Died) -> None:
        command, letter = item.command, item.letter
        work = self.work.get((command.tenant_id, command.saga_id)) if command else None
        if command is None or work is None:
            self.letters.append(letter)
            return
        news = DeadLettered(
            at=self.at,
            step=command.step,
            direction=command.direction,
            attempt=command.attempt,
            reason=letter.reason,
        )
        work.take(news)
        # A saga that goes on, or turns back, by itself needs nobody: the letter is kept, but not open.
        waits = orders.stands(work.state, (command.step, command.direction, command.attempt))
        self.letters.append(letter if waits else replace(letter, status="moot"))

    def _order(self, order: Order) -> str:
        work = self.work.get(order.key) if order.key else None
        if work is None:
            return UNKNOWN_SAGA
        status = work.state.status
        if order.at and not orders.stands(work.state, order.at):
            return f"refused: the saga is {status}, and no more where it was when this was ordered"
        return "done" if work.take(orders.news_of(order, self.at)) else f"refused: the saga is {status}"

    def _attach(self, work: _Work, item: Asked) -> None:
        """The same request again: the same answer again. A saga of this very group speaks for itself."""
        if work.before.entries == 0:
            return
        outbox = self.report.outbox
        outbox.events += speech.status_again(work.saga, work.before, self.at)
        if item.redelivered and work.state.step == work.saga.steps[0].name and work.state.attempt == 1:
            work.resend = True
        repeated = speech.repeat_delivery(work.saga, work.before)
        if repeated is not None:
            outbox.send(*repeated)

    async def _start(self, newcomers: list[SagaKey]) -> None:
        turns = await self.group.turns(limit=self.around.limit, tenants={key[0] for key in newcomers})
        chosen = starter.choose(turns, newcomers)
        unknown = set(chosen) - self.work.keys()
        self._take_up(await self.group.load(unknown))
        for key in chosen:
            self.work[key].take(Start(at=self.at))

    async def _save(self) -> None:
        outbox = self.report.outbox
        changed = [work for work in self.work.values() if work.entries]
        await self.group.save(
            [
                Change(
                    before=work.before,
                    entries=tuple(work.entries),
                    state=work.state,
                    in_flight=starter.takes_place(work.saga, work.state),
                )
                for work in changed
            ]
        )
        for work in self.work.values():
            if work.sends:
                outbox.send(*self._command(work))
        for work in changed:
            key = work.before.key
            self.report.appended.append((key, work.saga, tuple(work.entries)))
            outbox.events += speech.events_of(work.saga, work.before, work.entries, work.state)
            await self._letters_of(work)
        if outbox.events:
            await self.group.add_events(outbox.events)
        if self.letters:
            await self.group.bury(self.letters)
        if self.audited:
            await self.group.audit(self.audited)
        if self.orders:
            await self.group.finish_orders(self.orders)

    def _command(self, work: _Work) -> tuple[str, Command]:
        return speech.command_for(work.saga, work.before.key, work.before.request_id, work.state)

    async def _letters_of(self, work: _Work) -> None:
        """What is parked lies in the dead letters; what is parked no more leaves them, and says how. A cancel
        may find it in doubt and leave it where it is."""
        stays = work.state.status == "parked" and not any(isinstance(entry, Parked) for entry in work.entries)
        if work.before.state.status == "parked" and not stays:
            await self.group.close_letters(work.before.key, letters.closing(work.entries))
        for entry in work.entries:
            if isinstance(entry, Parked) and entry.error != "DeadLettered":
                self.letters.append(letters.parked(self.around.new_id, *self._command(work), entry))


def _key_of(item: Item) -> SagaKey | None:
    match item:
        case Answered(reply):
            return reply.tenant_id, reply.saga_id
        case Died(command=command) if command is not None:
            return command.tenant_id, command.saga_id
        case Woken(key):
            return key
        case Ordered(order):
            return order.key
        case _:
            return None
