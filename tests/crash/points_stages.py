"""Which scene brings which process to which crash points."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.crash import points_scenes as scenes
from tests.crash.points import all_points
from tests.crash.points_scenes import Scene

AT_ONCE = {"orchestrator": 12, "steps": 2}
"""Points of which the process dies at one after the other before it may work in peace: a command whose process
dies with it for the fourth time is given up as poison, and that is right."""

STAGE = 12
"""Points in one test."""

NEVER = {
    "store.history:commit": "only tests and simulations read a whole log through the store",
    "store.history:committed": "only tests and simulations read a whole log through the store",
}
"""Points that no process in production comes by."""

_ANY_LEAD_STATEMENT = (
    *(
        "add_events",
        "append",
        "create",
        "delete_events",
        "due",
        "events_before",
        "gauges",
        "load",
        "one_starter",
    ),
    *("open_orders", "places", "remember_requests", "settings", "tenants", "update"),
)

SCENES: tuple[tuple[str, type[Scene], tuple[str, ...]], ...] = (
    # Those that wait longest for their end come first: what a process forgot is asked for again by a timer.
    ("orchestrator", scenes.StepFails, ("group.timer:*", "store.postpone:*")),
    ("orchestrator", scenes.IsReplayed, ("group.order:*", "store.finish_orders:*", "store.close_letters:*")),
    ("orchestrator", scenes.WaitsForItsTurn, ("store.turns:*", "group.tick:*")),
    ("orchestrator", scenes.IsLeftBehind, ("sweep:*",)),
    ("orchestrator", scenes.IsAskedAgain, ("store.requests:*",)),
    (
        "orchestrator",
        Scene,
        (
            *("schema:*", "group:*", "group.request:*", "group.reply:*", "publish.outbox:*"),
            *("ack.requests:before", "ack.replies:before"),
            *(f"store.{statement}:*" for statement in _ANY_LEAD_STATEMENT),
        ),
    ),
    ("orchestrator", scenes.RollsBack, ("group.reply:*", "publish.outbox:*")),
    ("orchestrator", scenes.IsRefunded, ("group.request:*", "group.reply:*")),
    ("orchestrator", scenes.IsCancelledInTheQueue, ("group.request:*",)),
    ("orchestrator", scenes.IsCancelledLater, ("group.request:commit",)),
    ("orchestrator", scenes.Nonsense, ("group.malformed:*", "store.bury:*")),
    ("orchestrator", scenes.LiesAmongTheDead, ("group.dead_letter:*", "ack.*.dead:before")),
    ("orchestrator", scenes.GroupFails, ("group.failed:*",)),
    (
        "orchestrator",
        scenes.NonsenseIsReplayed,
        ("publish.replay:*", "store.mark_replayed:*", "group.letter:*"),
    ),
    ("steps", scenes.KillsItsReader, ("suspect:*",)),
    ("steps", scenes.IsInterrupted, ("single.interrupted:*",)),
    ("steps", scenes.IsCancelled, ("single.*.book:*", "batch.generate_leads.undo:*", "ack.discard_leads:*")),
    ("steps", scenes.StepFails, ("batch.failed:*",)),
    ("steps", scenes.FlushFails, ("rounds.flush.failed:*",)),
    ("steps", scenes.NoticeFails, ("rounds.notices.failed:*",)),
    ("steps", scenes.NonsenseForAStep, ("publish.dead_letters:*",)),
    (
        "steps",
        scenes.RollsBack,
        (
            *("batch.reserve_quota.undo:*", "heard:*"),
            *("ack.release_quota:*", "ack.notify_discord.heard:*"),
        ),
    ),
    ("steps", scenes.IsRefunded, ("batch.refund_*:*", "ack.refund_usage:*", "ack.refund_at_stripe:*")),
    ("steps", scenes.StripeIsLost, ("call.stripe:*", "flush.settle:*")),
    (
        "steps",
        Scene,
        (
            *(
                f"batch.{step}.do:*"
                for step in ("reserve_quota", "record_usage", "report_to_stripe", "notify_discord")
            ),
            *(
                "single.begin:*",
                "single.finish:*",
                "single.*.progress:*",
                "single.*.call:*",
                "single.*.checkpoint:*",
            ),
            *("flush.*:*", "notices.*:*", "rounds.*.claim:*", "rounds.*.wait:*", "call.*:*", "schema:*"),
            *("publish.events:*", "publish.replies:*", "publish.owed:*"),
            *("ack.reserve_quota:*", "ack.generate_leads:*", "ack.record_usage:*"),
            *("ack.report_to_stripe:*", "ack.notify_discord:*"),
        ),
    ),
)

BY_THE_TOOL = ("operate.*:*", "publish.requests:*", "store.history:ran")
"""Points of the operators' tool: each of its commands is a process."""


@dataclass(frozen=True, slots=True)
class Stage:
    process: str
    number: int
    kills: tuple[tuple[str, type[Scene]], ...]
    """Point and scene, in their order."""

    def __str__(self) -> str:
        return f"{self.process}-{self.number}-{self.kills[0][0]}"


def stages() -> Iterator[Stage]:
    for process in AT_ONCE:
        kills = [
            (point, scene)
            for where, scene, patterns in SCENES
            if where == process
            for point in matching(patterns)
        ]
        for first in range(0, len(kills), STAGE):
            yield Stage(process, first // STAGE + 1, tuple(kills[first : first + STAGE]))


def matching(patterns: tuple[str, ...]) -> list[str]:
    found = [point for point in all_points() if any(fnmatchcase(point, pattern) for pattern in patterns)]
    return [point for point in found if point not in NEVER]


def without_a_scene() -> list[str]:
    """Points that no test dies at."""
    patterns = [pattern for _, _, some in SCENES for pattern in some]
    died_at = {*matching(tuple(patterns)), *matching(BY_THE_TOOL), *NEVER}
    return [point for point in all_points() if point not in died_at]
