"""One seed, from its world to a verdict."""

import sys
from dataclasses import dataclass

import structlog

from tests.kit.history.check import check
from tests.simulation.clock import Stuck, VirtualLoop, run
from tests.simulation.record import history_of
from tests.simulation.world import World

LAST_LINES = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    seed: int
    broken: tuple[str, ...]
    """What was found wrong, a line each, beginning with the rule."""
    story: str
    """Its end, if something is wrong."""
    digest: str
    """Of everything that happened."""
    sagas: int
    messages: int
    crashes: int

    @property
    def rules(self) -> set[str]:
        return {line.partition(":")[0] for line in self.broken}


def quiet() -> None:
    """Nobody reads the logs of a simulation. What broken-off work complains about in the end is no news."""
    level = structlog.make_filtering_bound_logger("critical")
    structlog.configure(wrapper_class=level, cache_logger_on_first_use=True)
    sys.unraisablehook = lambda _: None


def simulate(seed: int, *, last: int = LAST_LINES) -> Verdict:
    loop = VirtualLoop()
    world = World(seed, loop)
    try:
        run(world.live(), loop)
    except Stuck as stuck:
        world.finds("everything_comes_to_rest", str(stuck))
    broken = [f"{rule}: {what}" for rule, what in world.findings]
    broken += [str(violation) for violation in check(history_of(world))]
    return Verdict(
        seed=seed,
        broken=tuple(broken),
        story=world.trace.story(last) if broken else "",
        digest=world.trace.digest(),
        sagas=len(world.rows()),
        messages=world.broker.delivered,
        crashes=world.crashes,
    )
