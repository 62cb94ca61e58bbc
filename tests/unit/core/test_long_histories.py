"""Long random histories of the shipped sagas, with their real retry policies and every kind of accident.

Where the walk covers all histories of a small saga, this covers some of the full ones: dozens of attempts,
exact times, and a log that is written and read back as the store does it.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.core import news as heard
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry, Requested
from orchestrator.core.machine import decide
from orchestrator.core.orders import can_resolve
from orchestrator.core.state import State, evolve, replay
from orchestrator.sagas.lead import LEAD
from orchestrator.sagas.refund import REFUND
from orchestrator.store.codec import entry_text, read_entry, read_state, state_text
from steps.runtime import ruling
from tests.kit.flight import COPIES, Answer, Command, Message
from tests.kit.given import REQUEST, T0
from tests.kit.mind import commands_of
from tests.kit.promises import check_decision, check_world
from tests.kit.world import OUTCOMES, Nature, Side, Turn, deliver, flush, settled

places = st.integers(0, 10**6)
one_in_eight = st.sampled_from([False] * 7 + [True])


class History(RuleBasedStateMachine):
    saga: Saga
    natures: tuple[Nature, ...]

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.state = State()
        self.log: list[Entry] = []
        self.sides = {step.name: Side() for step in self.saga.steps}
        self.nature = dict(zip(self.sides, self.natures, strict=True))
        self.flight: Counter[Message] = Counter()
        self.hear(heard.Accept(at=self.now, request=REQUEST))
        self.hear(heard.Start(at=self.now))

    def hear(self, news: heard.News) -> None:
        entries = decide(self.saga, self.state, news)
        check_decision(self.saga, self.state, news, entries)
        for entry in entries:
            self.state = evolve(self.saga, self.state, entry)
        self.log += entries
        for command in commands_of(entries):
            self.flight[command] = COPIES

    def take(self, message: Message, *, favourably: bool = False, place: int = 0) -> None:
        self.flight[message] -= 1
        if isinstance(message, Answer):
            step, direction, attempt, name = message
            outcome = OUTCOMES[name]
            self.hear(
                heard.Replied(
                    at=self.now, step=step, direction=direction, attempt=attempt, outcome=outcome, draw=0.5
                )
            )
            return
        side, nature = self.sides[message.step], self.nature[message.step]
        turns = list(deliver(side, nature, message.direction, message.attempt, ruling.rule))
        self.happen(message.step, message, turns[0 if favourably else place % len(turns)])

    def happen(self, step: str, command: Command, turn: Turn) -> None:
        self.sides[step] = turn.side
        if not turn.taken:
            self.flight[command] += 1
        if turn.reply is not None:
            self.flight[Answer(step, command.direction, *turn.reply)] = COPIES

    def waiting(self) -> list[Message]:
        return [message for message, copies in self.flight.items() if copies > 0]

    @precondition(lambda self: self.waiting())
    @rule(which=places, how=places)
    def a_message_arrives(self, which: int, how: int) -> None:
        messages = self.waiting()
        self.take(messages[which % len(messages)], place=how)

    @precondition(lambda self: self.waiting())
    @rule(how=places)
    def the_newest_message_arrives(self, how: int) -> None:
        self.take(self.waiting()[-1], place=how)

    @precondition(lambda self: self.waiting())
    @rule(messages=st.integers(1, 8))
    def things_go_well_for_a_while(self, messages: int) -> None:
        for _ in range(messages):
            if self.waiting():
                self.take(self.waiting()[-1], favourably=True)

    @precondition(lambda self: self.state.due_at is not None)
    @rule(late=st.sampled_from([0, 1, 7200]))
    def what_it_waits_for_is_due(self, late: int) -> None:
        assert self.state.due_at is not None
        self.now = max(self.now, self.state.due_at) + timedelta(seconds=late)
        self.hear(heard.Due(at=self.now))

    @rule(at_last=one_in_eight)
    def its_deadline_may_have_passed(self, at_last: bool) -> None:
        if at_last and self.state.deadline_at is not None:
            self.now = max(self.now, self.state.deadline_at)
        self.hear(heard.Deadline(at=self.now))

    @rule(minds=one_in_eight)
    def it_may_be_cancelled(self, minds: bool) -> None:
        if minds:
            self.hear(heard.Cancel(at=self.now, by="upstream", reason="changed my mind"))

    @precondition(lambda self: any(isinstance(message, Command) for message in self.waiting()))
    @rule(which=places, bad=one_in_eight)
    def a_command_may_be_dead_lettered(self, which: int, bad: bool) -> None:
        if not bad:
            return
        commands = [message for message in self.waiting() if isinstance(message, Command)]
        command = commands[which % len(commands)]
        self.flight[command] -= 1
        side = self.sides[command.step]
        self.sides[command.step] = side.bury(command.direction, command.attempt)
        self.hear(heard.DeadLettered(at=self.now, **command._asdict(), reason="it kills its consumer"))

    @precondition(lambda self: self.state.status == "parked")
    @rule()
    def it_is_replayed(self) -> None:
        self.hear(heard.Replay(at=self.now, by="ann", reason="fixed"))

    @precondition(lambda self: self.state.status == "parked")
    @rule()
    def it_is_settled_by_someone_who_knows(self) -> None:
        assert self.state.step is not None
        side = self.sides[self.state.step]
        absent = not side.there and not side.do.owed
        finished = absent if self.state.direction == "undo" else bool(side.there)
        verdict: Any = "done" if finished else "not_done"
        if (finished or absent) and can_resolve(self.saga, self.state, verdict):
            self.sides[self.state.step] = settled(side, self.state.direction)
            self.hear(heard.Resolve(at=self.now, verdict=verdict, by="ann", reason="looked it up"))

    @precondition(lambda self: any(side.do.owed for side in self.sides.values()))
    @rule(how=places)
    def what_is_owed_is_flushed(self, how: int) -> None:
        for step, side in self.sides.items():
            turns = list(flush(side))
            if turns:
                self.happen(step, Command(step, "do", side.do.attempt), turns[how % len(turns)])

    @invariant()
    def every_promise_is_kept(self) -> None:
        check_world(self.saga, self.state, list(self.sides.values()))

    @invariant()
    def attempts_are_counted_without_gaps(self) -> None:
        asked: dict[tuple[str, str], list[int]] = {}
        for entry in self.log:
            if isinstance(entry, Requested):
                asked.setdefault((entry.step, entry.direction), []).append(entry.attempt)
        for attempts in asked.values():
            assert list(range(1, len(attempts) + 1)) == attempts

    def teardown(self) -> None:
        self._the_log_tells_the_state()
        self._in_better_times_it_comes_to_an_end()

    def _the_log_tells_the_state(self) -> None:
        read = [read_entry(entry_text(entry)) for entry in self.log]
        assert self.log == read
        assert self.state == replay(self.saga, read)
        assert self.state == read_state(state_text(self.state), self.state.request)

    def _in_better_times_it_comes_to_an_end(self) -> None:
        """From wherever it is: once everything works again, the saga ends or waits for a human."""
        for _ in range(100):
            for message in self.waiting():
                self.take(message, favourably=True)
            self.what_is_owed_is_flushed(0)
            if not self.waiting() and (self.state.ended or self.state.status == "parked"):
                break
            if self.state.due_at is not None:
                self.what_it_waits_for_is_due(0)
        assert self.state.status in {"completed", "rolled_back", "parked"}
        self.every_promise_is_kept()


class LeadHistory(History):
    saga = LEAD
    natures = ("ours", "outside", "ours", "deferred", "outside")


class RefundHistory(History):
    saga = REFUND
    natures = ("ours", "deferred", "outside")


BOUNDED = settings(
    max_examples=150,
    stateful_step_count=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestLead = LeadHistory.TestCase
TestLead.settings = BOUNDED
TestRefund = RefundHistory.TestCase
TestRefund.settings = BOUNDED
