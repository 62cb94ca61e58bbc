"""Bugs, seeded one at a time: small things put in the place of right ones. The simulation must find each."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.kit import broken
from tests.simulation import wrong

EVOLVE = (
    "orchestrator.core.state.evolve",
    "orchestrator.core.moves.evolve",
    "tests.kit.history.logs.evolve",
)
RULE = ("steps.runtime.batch.rule", "steps.runtime.single.rule", "steps.runtime.suspect.rule")
GROUP = "tests.simulation.databases.WatchedGroup"
SESSION = "orchestrator.run.group._Session"
ROLES = "tests.simulation.roles"
MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class Bug:
    finds: str
    """The promise that it breaks."""
    names: tuple[str, ...]
    wrong: Any
    """What stands in the place of each of `names`."""

    @contextmanager
    def seeded(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in self.names:
                stack.enter_context(patch(name, self.wrong))
            yield


BUGS: dict[str, Bug] = {
    "orchestrator acks before it publishes": Bug(
        "no_command_is_lost", (f"{ROLES}.publisher_of",), wrong.publishes_later
    ),
    "step acks before it publishes": Bug("no_command_is_lost", (f"{ROLES}.Consumer",), wrong.RepliesLater),
    "effect outside the transaction": Bug(
        "quota_adds_up", ("tests.simulation.toys.reserve_quota",), wrong.counts_at_once
    ),
    "undo armed on success": Bug("rolled_back_sagas_leave_nothing", EVOLVE, broken.arms_on_success),
    "answer sent before it is committed": Bug(
        "log_and_effects_agree", (f"{ROLES}.SimulatedMemory",), wrong.AnswersFirst
    ),
    "a first answer is written over another": Bug(
        "log_and_effects_agree",
        ("steps.runtime.effects_memory.MemoryEffects.save_first",),
        wrong.overwrites,
    ),
    "event kept outside its transaction": Bug("everything_was_heard", (GROUP,), wrong.EventsBeside),
    "event published before its transaction": Bug("nothing_else_was_heard", (GROUP,), wrong.EventsAhead),
    "no mark is left of an undo": Bug("rolled_back_sagas_leave_nothing", RULE, broken.forgets_the_undo),
    "an answered attempt runs again": Bug("log_and_effects_agree", RULE, broken.anyone_runs_again),
    "any stale answer sends a command": Bug(
        "commands_are_sent_as_the_log_says", (f"{SESSION}._answered",), wrong.resends_always
    ),
    "a redelivered answer sends nothing": Bug(
        "no_command_is_lost", (f"{SESSION}._answered",), wrong.resends_never
    ),
    "a fenced attempt goes on writing": Bug(
        "rolled_back_sagas_leave_nothing",
        ("steps.runtime.single.LockedAttempt.transaction",),
        wrong.looks_at_nothing,
    ),
    "poison is never suspected": Bug("poison_is_given_up", ("steps.runtime.consume.SUSPECT_FROM",), MANY),
    "nobody sweeps events": Bug(
        "everything_comes_to_rest", ("orchestrator.run.chores.Chores._events",), wrong.does_nothing
    ),
    "a cancel closes the letter of a saga that stays parked": Bug(
        "parked_sagas_say_why", (f"{SESSION}._letters_of",), wrong.closes_letters_early
    ),
}
