"""Which scene brings which process to which crash points."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.crash import points_refunds as refunds
from tests.crash import points_scenes as scenes
from tests.crash import points_tenants as tenants
from tests.crash import points_trouble as trouble
from tests.crash.points import all_points
from tests.crash.points_scenes import Scene
from tests.crash.points_tool import COMMANDS

AT_ONCE = {"steps": 2, "orchestrator": 12}
"""Deaths of a process, one after the other, before it may work in peace: a command whose process dies
with it for the fourth time is given up as poison, and that is right."""

STAGE = 12
"""Points in one test."""

SCENES: tuple[tuple[str, type[Scene], tuple[str, ...]], ...] = (
    ("steps", trouble.NoticeFails, ("rounds.notices.failed:*",)),
    ("steps", trouble.FlushFails, ("rounds.flush.failed:*",)),
    ("steps", trouble.ReconcileFails, ("rounds.reconcile.failed:*",)),
    ("steps", trouble.StepFails, ("batch.failed:*",)),
    ("steps", trouble.NonsenseForAStep, ("publish.dead_letters:*",)),
    ("steps", scenes.KillsItsReader, ("suspect:*",)),
    ("steps", scenes.IsInterrupted, ("single.interrupted:*",)),
    ("steps", scenes.IsCancelled, ("single.*.book:*", "batch.generate_leads.undo:*", "ack.discard_leads:*")),
    (
        *("steps", scenes.RollsBack),
        ("batch.reserve_quota.undo:*", "heard:*", "ack.release_quota:*", "ack.notify_discord.heard:*"),
    ),
    ("steps", scenes.StripeForgets, ("flush.verdict:*",)),
    (
        *("steps", scenes.IsRefunded),
        ("batch.refund_*:*", "ack.refund_usage:*", "ack.refund_at_stripe:*", "refunds.choose:*"),
    ),
    (
        *("steps", refunds.IsRefundedFromAnInvoice),
        (
            *("refunds.owed:*", "refunds.claim:*", "refunds.begin:*", "refunds.settle:*", "refunds.look:*"),
            *("refunds.answer:*", "call.stripe_refunds:*"),
        ),
    ),
    ("steps", refunds.ItsNoteIsLost, ("refunds.credit:*", "refunds.settle:*")),
    ("steps", refunds.ItsDraftBecomesFinal, ("refunds.told:*",)),
    (
        *("steps", tenants.IsAdded),
        (
            *("batch.store_tenant.do:*", "batch.seed_flags.do:*", "batch.activate_tenant.do:*"),
            *("batch.welcome_tenant.do:*", "single.open_account.*:*", "call.stripe_accounts:*"),
            *("ack.store_tenant:*", "ack.open_account:*", "ack.seed_flags:*", "ack.activate_tenant:*"),
            "ack.welcome_tenant:*",
        ),
    ),
    (
        *("steps", tenants.IsTakenBack),
        (
            *("batch.store_tenant.undo:*", "batch.seed_flags.undo:*", "call.stripe_accounts:*"),
            *("ack.remove_tenant:*", "ack.close_account:*", "ack.clear_flags:*"),
        ),
    ),
    (
        *("steps", Scene),
        (
            *(
                "schema:*",
                "batch.*:*",
                "single.*:*",
                "flush.*:*",
                "reconcile.*:*",
                "notices.*:*",
                "rounds.*:*",
                "call.*:*",
            ),
            *("publish.events:*", "publish.replies:*", "publish.owed:*", "ack.reserve_quota:*"),
            *("ack.generate_leads:*", "ack.record_usage:*", "ack.report_to_stripe:*", "ack.notify_discord:*"),
        ),
    ),
    ("steps", scenes.StripeIsLost, ("call.stripe:*", "flush.settle:*")),
    # Those that wait longest for their end come first: what a process forgot is asked for again by a timer.
    ("orchestrator", trouble.StepFails, ("group.timer:*", "store.postpone:*")),
    ("orchestrator", trouble.IsReplayed, ("group.order:*", "store.finish_orders:*", "store.close_letters:*")),
    ("orchestrator", scenes.WaitsForItsTurn, ("store.turns:*", "group.tick:*")),
    ("orchestrator", scenes.IsLeftBehind, ("sweep:*",)),
    ("orchestrator", scenes.IsAskedAgain, ("store.requests:*",)),
    ("orchestrator", trouble.SpeaksForAnother, ("store.audit:*",)),
    ("orchestrator", trouble.Nonsense, ("group.malformed:*", "store.bury:*")),
    (
        "orchestrator",
        trouble.NonsenseIsReplayed,
        ("publish.replay:*", "store.mark_replayed:*", "group.letter:*"),
    ),
    ("orchestrator", trouble.LiesAmongTheDead, ("group.dead_letter:*", "ack.*.dead:before")),
    ("orchestrator", trouble.GroupFails, ("group.failed:*",)),
    (
        *("orchestrator", Scene),
        (
            *("schema:*", "group:*", "group.request:*", "group.reply:*", "publish.outbox:*", "store.*:*"),
            *("ack.requests:before", "ack.replies:before"),
        ),
    ),
    ("orchestrator", scenes.RollsBack, ("group.reply:*", "publish.outbox:*")),
    ("orchestrator", scenes.IsRefunded, ("group.request:*", "group.reply:*")),
    ("orchestrator", scenes.IsCancelledInTheQueue, ("group.request:*",)),
    ("orchestrator", scenes.IsCancelledLater, ("group.request:commit",)),
)
"""A plain request is for the points that nothing before it is for; what comes after it passes some again."""

BY_THE_TOOL = tuple(f"{operation}:*" for operation in COMMANDS)


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
        kills = list(_kills(process))
        for first in range(0, len(kills), STAGE):
            yield Stage(process, first // STAGE + 1, tuple(kills[first : first + STAGE]))


def _kills(process: str) -> Iterator[tuple[str, type[Scene]]]:
    known = set(matching(BY_THE_TOOL))
    for where, scene, patterns in SCENES:
        if where == process:
            found = [point for point in matching(patterns) if scene is not Scene or point not in known]
            known.update(found)
            yield from ((point, scene) for point in found)


def matching(patterns: tuple[str, ...]) -> list[str]:
    return [point for point in all_points() if any(fnmatchcase(point, pattern) for pattern in patterns)]


def without_a_scene() -> list[str]:
    """Points that no test dies at."""
    died_at = {point for stage in stages() for point, _ in stage.kills}
    return [point for point in all_points() if point not in {*died_at, *matching(BY_THE_TOOL)}]
