"""Promises that can only be watched while they are kept, or that only this world can know."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from orchestrator.core.log import Entry, Failed, Requested, Resent, Skipped, Succeeded, Unwinding
from orchestrator.store.codec import read_entry
from orchestrator.store.port import Change, SagaKey
from steps.runtime.single import MAX_STARTS

if TYPE_CHECKING:
    from tests.simulation.world import World


class Watch:
    """Looks at everything that is appended to a log, at the moment of its commit."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._answered: dict[SagaKey, bool] = {}
        """Whether it was an answer that led to the command that a saga waits for."""

    def appended(self, change: Change) -> None:
        for place, entry in enumerate(change.entries):
            if isinstance(entry, Requested):
                self._answered[change.before.key] = _by_an_answer(change.entries[:place])
            elif isinstance(entry, Resent) and self._answered.get(change.before.key):
                self._check(change.before.key, entry)

    def _check(self, key: SagaKey, entry: Resent) -> None:
        """A timer finds a late answer, never a lost one: until an answer is acknowledged what it led to is
        with the broker, and until a command is, so is the command. Lost in a crash may be only what timers
        and people asked for; and an attempt that was taken over by a process that is cut off itself."""
        name = str(key[1]).encode()
        row = self._world.memory.tables.effects.get((*key, entry.step, entry.direction))
        taken_over = row is not None and (row.effect.owed or row.effect.run > 1)
        if not taken_over and not any(name in packet.body for packet in self._world.broker.packets()):
            what = f"saga {key[1].int} awaits {entry.direction} {entry.step} {entry.attempt}"
            self._world.finds("no_command_is_lost", f"{what}, and neither it nor its answer is anywhere")


def _by_an_answer(before: tuple[Entry, ...]) -> bool:
    for entry in reversed(before):
        match entry:
            case Unwinding() | Skipped():
                continue
            case Succeeded(by=by):
                return not by
            case Failed(verdict=verdict):
                return verdict != "dead_lettered"
            case _:
                return False
    return False


def commands_sent(world: "World") -> Counter[Any]:
    """By saga, step, direction and attempt; copies that the broker made do not count."""
    return Counter(
        (each["saga_id"], each["step"], each["direction"], each["attempt"])
        for bundle in world.broker.commands
        for each in json.loads(bundle)["items"]
    )


def check_sends(world: "World") -> None:
    """A command is sent when the log says so; else only when something came again that a crash may have left
    half done, or upstream asked again for what was delivered. Or duplicates would be immortal."""
    logged: Counter[tuple[str, str, str, int]] = Counter()
    for (_, saga_id), row in world.rows().items():
        for entry in map(read_entry, row.log):
            if isinstance(entry, Requested | Resent):
                logged[str(saga_id), entry.step, entry.direction, entry.attempt] += 1
    for name, times in commands_sent(world).items():
        asked_again = len(world.scenario.asks) if name[1] == "record_usage" else 0
        if times > logged[name] + asked_again + world.broker.repeats:
            world.finds(
                "commands_are_sent_as_the_log_says", f"{name} was sent {times} times of {logged[name]}"
            )


def check_mended(world: "World") -> None:
    """Nothing is parked any more once its cause was mended and it was tried again; but for what is refused
    after it may have happened, of which only a human can tell what is true."""
    for key, row in world.rows().items():
        state = row.state()
        if state.status == "parked" and not state.doubt:
            world.finds("mended_sagas_end", f"saga {key[1].int} is parked: {state.reason}")


MOST_VICTIMS = 12
"""Five, unless copies of the command are on their way as well: each may kill two before it is a suspect."""


def check_poison(world: "World") -> None:
    """A command that kills who runs it is given up before long, and no other one is."""
    for name, times in world.victims.items():
        if times > MOST_VICTIMS:
            world.finds("poison_is_given_up", f"{name} killed {times} processes")
    poisonous = {name[1] for name in world.victims}
    losses, sent = world.crashes + world.stops + world.broker.cuts, commands_sent(world)
    for letter in world.store.letters():
        if letter.error == "Poison" and letter.saga_id not in poisonous:
            name = str(letter.saga_id), letter.step, letter.direction, letter.attempt
            # Each copy of it is begun again after each loss.
            if 1 + 2 * losses * sent[name] <= MAX_STARTS:
                world.finds("only_poison_is_given_up", f"{name} killed nobody")


def check_drafts(world: "World") -> None:
    """Whoever was fenced wrote nothing more."""
    for key, drafts in world.memory.tables.content.drafts.items():
        if drafts and world.rows()[key].status == "completed":
            world.finds("nobody_writes_late", f"saga {key[1].int} is completed, and has {drafts} drafts")
