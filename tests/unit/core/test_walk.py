"""Every history of small sagas keeps every promise, and each safeguard is needed: without it one breaks."""

from collections.abc import Callable

import pytest

from orchestrator.core.definition import Step
from tests.kit.broken import (
    anyone_runs_again,
    arms_on_success,
    forgets_doubt,
    forgets_the_undo,
    ignores_late_successes,
    leaves_no_mark,
    timeouts_spend_attempts,
    turns_back_inside_the_pivot,
)
from tests.kit.mind import Rules
from tests.kit.promises import Violation
from tests.kit.small import A, B, E, P, R, saga_of
from tests.kit.walk import Walk
from tests.kit.world import Nature

Report = Callable[[str], None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]) -> Report:
    def tell(text: str) -> None:
        record_property("walked", text)
        with capsys.disabled():
            print(f"\n  walked {text}", end="")  # noqa: T201 - the size of the proof belongs to its result

    return tell


WALKS: dict[str, tuple[tuple[Step, ...], tuple[Nature, ...], int, int]] = {
    "one step of each main kind, dead letters": ((A, P, R), ("outside", "outside", "outside"), 1, 0),
    "one step of each main kind, replays": ((A, P, R), ("outside", "ours", "deferred"), 0, 1),
    "an undo at a vendor": ((A,), ("all_outside",), 1, 0),
    "two undos": ((A, B, P), ("outside", "outside", "ours"), 0, 0),
    "best effort at the end": ((A, B, P, E), ("outside", "ours", "ours", "outside"), 1, 0),
    "best effort in the middle": ((A, E, P, R), ("ours", "outside", "outside", "ours"), 0, 0),
}


@pytest.mark.parametrize("name", WALKS)
def test_every_history_keeps_every_promise(name: str, report: Report) -> None:
    steps, natures, dead_letters, replays = WALKS[name]
    covered = Walk(saga_of(*steps), natures, dead_letters=dead_letters, replays=replays).run()
    report(f"{covered.nodes:,} states, {covered.transitions:,} transitions: {name}")
    assert {"completed", "rolled_back", "parked"} <= set(covered.statuses)
    assert covered.nodes > 1_000


BROKEN: dict[str, tuple[Rules, str]] = {
    "doubt is forgotten": (Rules(evolve=forgets_doubt), "leaves nothing behind"),
    "answered attempts run again": (Rules(rule=anyone_runs_again), "leaves nothing behind"),
    "undone steps run again": (Rules(rule=forgets_the_undo), "leaves nothing behind"),
    "missing answers spend attempts": (Rules(decide=timeouts_spend_attempts), "spends no attempt"),
    "undos are armed on success": (Rules(evolve=arms_on_success), "leaves nothing behind"),
    "late successes are ignored": (Rules(decide=ignores_late_successes), "Done of the current step"),
    "cancels do not wait": (
        Rules(decide=turns_back_inside_the_pivot),
        "nothing is undone after the pivot",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_safeguard_is_needed(name: str) -> None:
    rules, promise = BROKEN[name]
    with pytest.raises(Violation, match=promise):
        Walk(saga_of(A, P, R), ("outside", "outside", "ours"), rules, dead_letters=1).run()


def test_an_attempt_whose_process_died_must_not_be_answered_with_a_clean_failure() -> None:
    """The first runner may have acted before it died: only Done or Unknown is true of that attempt."""
    with pytest.raises(Violation, match=r"leaves nothing behind.*acts and dies"):
        Walk(saga_of(A, P), ("forgetful", "ours"), dead_letters=0, replays=0).run()


@pytest.mark.parametrize(("step", "verdict"), [(A, "done"), (P, "not done")])
def test_what_is_settled_by_hand_must_be_forbidden_to_late_copies_of_its_command(
    step: Step, verdict: str
) -> None:
    """What surely has not happened may still happen while a copy of its command is on its way."""
    story = f"settled as {verdict}.*do {step.name} 1 answers done"
    with pytest.raises(Violation, match=story):
        Walk(saga_of(step), ("ours",), Rules(settle=leaves_no_mark), replays=0).run()


def test_what_was_said_of_one_step_must_not_settle_another() -> None:
    """The saga may move on by itself before the order is taken, and be parked elsewhere."""
    steps, natures = saga_of(A, B), ("ours", "ours")
    story = "leaves nothing behind.*b is to be settled as done.*undo a 1 answers rejected"
    with pytest.raises(Violation, match=story):
        Walk(steps, natures, Rules(orders_name_a_step=False), dead_letters=1, replays=0).run()


def test_a_violation_tells_the_shortest_story_that_leads_to_it() -> None:
    with pytest.raises(Violation) as caught:
        Walk(saga_of(A, P), ("ours", "ours"), Rules(decide=timeouts_spend_attempts)).run()
    assert str(caught.value) == "a missing answer spends no attempt: it is started"


@pytest.mark.parametrize(("steps", "nature"), [((A,), "ours"), ((P,), "outside"), ((P, R), "ours")])
def test_what_the_walk_forgets_hides_nothing(steps: tuple[Step, ...], nature: Nature) -> None:
    natures = (nature,) * len(steps)
    full = Walk(saga_of(*steps), natures, dead_letters=0, replays=0, forgetful=False)
    short = Walk(saga_of(*steps), natures, dead_letters=0, replays=0)
    assert full.run().nodes > short.run().nodes
    assert full.reached() == short.reached()
