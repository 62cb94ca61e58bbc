"""One group: everything that waits, read, decided and written together. What is to be published is returned,
and published only after the commit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from contracts.process import crash
from orchestrator.core.log import Parked
from orchestrator.core.news import DeadLettered, Deadline, Due, Replied, Start
from orchestrator.run import letters, orders, speech, starter
from orchestrator.run.intake import Intake, take_in
from orchestrator.run.items import Answered, Asked, Died, Item, Misunderstood, Ordered, Tick, Woken
from orchestrator.run.work import Decided, Report, Surroundings, Work
from orchestrator.sagas import CURRENT
from orchestrator.store.port import Foreign, Group, Order, SagaKey, Store, Stored

UNKNOWN_SAGA = "there is no such saga"


async def process(around: Surroundings, items: Sequence[Item]) -> Report:
    """Raises what the store raises; then nothing of the group happened."""
    kinds = sorted({item.kind for item in items})
    if any(isinstance(item, Asked | Tick) for item in items):
        report = await _in_one_transaction(around, items, kinds)
    else:
        report = await _read_then_write(around, items, kinds)
    for kind in kinds:
        crash.point(f"group.{kind}", "committed")
    return report


async def _in_one_transaction(around: Surroundings, items: Sequence[Item], kinds: Sequence[str]) -> Report:
    """For who admits requests, or gives turns: that is written before anything can be decided."""
    async with around.store.group() as group:
        session = _Session(around, group, around.clock())
        await (await session.run(items, group)).write(group)
        _commits(kinds)
    return session.report


async def _read_then_write(around: Surroundings, items: Sequence[Item], kinds: Sequence[str]) -> Report:
    """For all else. What is read is not locked: if it is out of date by then, `save` refuses what was decided
    on it. Nearly always one statement is all there is to write."""
    session = _Session(around, around.store, around.clock())
    decided = await session.run(items)
    if decided.only_sagas:
        _commits(kinds)
        await around.store.save(decided.changes, decided.events)
    else:
        async with around.store.group() as group:
            await decided.write(group)
            _commits(kinds)
    return session.report


def _commits(kinds: Sequence[str]) -> None:
    for kind in kinds:
        crash.point(f"group.{kind}", "commit")


class _Session:
    def __init__(self, around: Surroundings, reads: Store | Group, at: datetime) -> None:
        self.around = around
        self.reads = reads
        self.at = at
        self.work: dict[SagaKey, Work] = {}
        self.foreign: set[SagaKey] = set()
        self.report = Report()
        self.decided = Decided()

    async def run(self, items: Sequence[Item], group: Group | None = None) -> Decided:
        """`group` is needed for requests, and for turns."""
        intake = Intake()
        if group is not None:
            current = {saga.name: self.around.sagas[saga.name, saga.version] for saga in CURRENT}
            asked = [item for item in items if isinstance(item, Asked)]
            intake = await take_in(group, asked, current, self.at, self.around.new_id)
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
        if group is not None and (intake.created or any(isinstance(item, Tick) for item in items)):
            await self._start(group, list(intake.created))
        self.report.outbox.events += intake.events
        return self._decide()

    async def _open(self, intake: Intake, items: Sequence[Item]) -> None:
        keys = {key for item in items if (key := _key_of(item)) is not None}
        keys |= {key for key, _ in intake.news} | {key for key, _ in intake.attached}
        stored = await self.reads.load(keys - intake.created.keys())
        self._take_up(stored | intake.created)

    def _take_up(self, found: Mapping[SagaKey, Stored | Foreign]) -> None:
        for key, before in found.items():
            if isinstance(before, Foreign):
                self.foreign.add(key)
            else:
                saga = self.around.sagas[before.saga, before.version]
                self.work[key] = Work(before, saga, before.state)

    def _hear(self, item: Item) -> None:
        match item:
            case Answered():
                self._answered(item)
            case Died():
                self._died(item)
            case Misunderstood(letter, refusal, audited):
                self.decided.letters.append(letter)
                self.report.outbox.events += [refusal] if refusal else []
                self.decided.refusals += [audited] if audited else []
            case Woken(key) if key in self.work:
                work = self.work[key]
                work.take(Due(at=self.at))
                work.take(Deadline(at=self.at))
            case Ordered(order):
                self.decided.orders.append((order.order_id, self._order(order)))
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
            self.decided.letters.append(letter)
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
        self.decided.letters.append(letter if waits else replace(letter, status="moot"))

    def _order(self, order: Order) -> str:
        work = self.work.get(order.key) if order.key else None
        if work is None:
            return UNKNOWN_SAGA
        status = work.state.status
        if order.at and not orders.stands(work.state, order.at):
            return f"refused: the saga is {status}, and no more where it was when this was ordered"
        return "done" if work.take(orders.news_of(order, self.at)) else f"refused: the saga is {status}"

    def _attach(self, work: Work, item: Asked) -> None:
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

    async def _start(self, group: Group, newcomers: list[SagaKey]) -> None:
        turns = await group.turns(limit=self.around.limit, tenants={key[0] for key in newcomers})
        chosen = starter.choose(turns, newcomers)
        unknown = set(chosen) - self.work.keys()
        self._take_up(await group.load(unknown))
        for key in chosen:
            self.work[key].take(Start(at=self.at))

    def _decide(self) -> Decided:
        outbox, decided = self.report.outbox, self.decided
        for work in self.work.values():
            if work.sends:
                outbox.send(*work.command)
        for work in [work for work in self.work.values() if work.entries]:
            self.report.appended.append((work.before.key, work.saga, work.entries))
            outbox.events += speech.events_of(work.saga, work.before, work.entries, work.state)
            decided.changes.append(work.change)
            self._letters_of(work)
        decided.events = outbox.events
        return decided

    def _letters_of(self, work: Work) -> None:
        """What is parked lies in the dead letters; what is parked no more leaves them, and says how. A cancel
        may find it in doubt and leave it where it is."""
        stays = work.state.status == "parked" and not any(isinstance(entry, Parked) for entry in work.entries)
        if work.before.state.status == "parked" and not stays:
            self.decided.closed.append((work.before.key, letters.closing(work.entries)))
        for entry in work.entries:
            if isinstance(entry, Parked) and entry.error != "DeadLettered":
                self.decided.letters.append(letters.parked(self.around.new_id, *work.command, entry))


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
