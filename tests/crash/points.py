"""Which crash points there are, read from the code: an operation is tested by being there."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import get_args

from contracts.names import Names
from deploy.asyncapi import subscriptions
from orchestrator.run.items import Item
from orchestrator.store.queries import QUERIES
from steps import catalogue
from steps.runtime.step import Batch, Single
from tests.crash.points_source import Call, Source, calls_of, sources

Code = Mapping[str, Source]
Values = Iterator[dict[str, str]]

FOLDERS = {"generate_leads": "steps/leads/"}
CHOKE = "contracts/process/crash.py"


@dataclass(slots=True)
class Points:
    """`passed`: where in the code, by point. `unknown`: names of which nobody says what they stand for."""

    passed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[str] = field(default_factory=list)

    def twice(self) -> list[str]:
        """Two operations must not share a name, or it would not say where a process died."""
        return [f"{point}: {', '.join(places)}" for point, places in self.passed.items() if len(places) > 1]


@cache
def all_points() -> tuple[str, ...]:
    return tuple(sorted(points_in(sources()).passed))


def points_in(code: Code) -> Points:
    found = Points()
    for call in (call for path, source in code.items() if path != CHOKE for call in source.calls):
        name, moments = _named(call)
        if name is None:
            continue
        operations = _meant(name, code)
        if not operations:
            found.unknown.append(f"{call.place}: {name}")
        for operation in operations:
            for moment in moments:
                found.passed[f"{operation}:{moment}"].append(call.place)
    return found


def _named(call: Call) -> tuple[str | None, tuple[str, ...]]:
    """What an operation is called, and its moments. Checkpoints of a step are named where they are made."""
    match call.receiver, call.method:
        case "crash", "point":
            return call.text(0), (call.text(1) or "?",)
        case "crash", "around":
            return call.text(0), ("before", call.text(1) or "?")
        case receiver, "transaction" if receiver != "attempt":
            return call.text("name"), ("commit", "committed")
        case _:
            return None, ()


def _meant(name: str, code: Code) -> list[str]:
    if "{" not in name:
        return [name]
    return [name.format(**values) for values in MEANINGS.get(name, lambda _: iter(()))(code)]


def _batches(_: Code) -> Values:
    for step in map(catalogue.find, catalogue.names()):
        for direction, work in (("do", step.do), ("undo", step.undo)):
            if isinstance(work, Batch):
                yield {"step": step.name, "direction": direction}


def _checkpoints(code: Code) -> Values:
    """Of the steps that call an outside world: those in a step's own file, and in its folder."""
    singles = [name for name in catalogue.names() if isinstance(catalogue.find(name).do, Single)]
    for call in calls_of(code, "attempt", "transaction", "note"):
        (step,) = (name for name in singles if call.path in {f"steps/{name}.py", *_folder(name, code)})
        yield {"step": step, "name": call.text(0) or "?"}


def _folder(step: str, code: Code) -> list[str]:
    return [path for path in code if path.startswith(FOLDERS.get(step, "-"))]


def _rounds(code: Code) -> Values:
    for call in calls_of(code, "", "Rounds"):
        yield {"kind": call.text(0) or "?"}


def _items(_: Code) -> Values:
    for item in get_args(Item):
        yield {"kind": item.kind}


def _statements(_: Code) -> Values:
    for name in QUERIES:
        yield {"name": name}


def _lone_statements(code: Code) -> Values:
    """Those that have a transaction of their own."""
    for call in calls_of(code, "self", "_fetch"):
        yield {"statement": call.text(0) or "?"}


def _published(code: Code) -> Values:
    names = {call.text("name") for call in calls_of(code, "publisher", "publish")}
    names |= {call.text(0) for call in calls_of(code, "self", "_confirmed")}
    for name in sorted(name for name in names if name is not None):
        yield {"name": name}


def _queues(_: Code) -> Values:
    for subscription in subscriptions(Names()):
        yield {"queue": subscription.queue}


MEANINGS: dict[str, Callable[[Code], Values]] = {
    "ack.{queue}": _queues,
    "batch.{step}.{direction}": _batches,
    "group.{kind}": _items,
    "publish.{name}": _published,
    "rounds.{kind}.claim": _rounds,
    "rounds.{kind}.failed": _rounds,
    "rounds.{kind}.wait": _rounds,
    "single.{step}.{name}": _checkpoints,
    "store.{name}": _statements,
    "store.{statement}": _lone_statements,
}
"""What the parts of a name stand for that is put together when it runs."""
