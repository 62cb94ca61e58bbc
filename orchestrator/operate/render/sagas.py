"""Sagas as tables and timelines."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.operate.find import Standing
from orchestrator.operate.inspect import Shown
from orchestrator.operate.render.kept import kept
from orchestrator.operate.render.text import (
    add,
    day_time,
    ids,
    moment,
    plain,
    shortened,
    status,
    style_of,
    table,
)
from orchestrator.operate.timeline import Moment, queue_of
from orchestrator.sagas import sagas

AT_A_STEP = frozenset({"running", "unwinding", "parked"})
"""Standings in which a saga is at a step."""

SHOWN_OF_WHY = 60
"""Characters of a reason in a list; `show` has it whole."""


def standings(found: Sequence[Standing]) -> RenderableType:
    made = table(
        f"sagas: {len(found)}",
        "tenant",
        "request",
        "saga",
        ">leads",
        "status",
        "step",
        "since",
        "changed",
        "why",
        "id",
    )
    for each in found:
        add(
            made,
            each.tenant_id,
            each.request_id,
            each.saga,
            each.leads,
            status(each.status),
            _at(each),
            moment(each.created_at),
            day_time(each.updated_at),
            shortened(each.reason, SHOWN_OF_WHY),
            each.saga_id,
        )
    return made


def timeline(moments: Sequence[Moment], title: str = "timeline") -> Table:
    """What happened, entry by entry; of an undo, the undo's own name. A day stands above its first entry."""
    made = table(title, ">#", "time (UTC)", ">+s", "step", ">try", "what", "why")
    day = ""
    for each in moments:
        if (date := f"{each.at:%Y-%m-%d}") != day:
            day = date
            add(made, "", plain(day, "bold"))
        by = f" (by {each.by})" if each.by else ""
        style = style_of(each.kind) if each.kind != "ended" else "bold"
        add(
            made,
            each.seq,
            f"{each.at:%H:%M:%S.%f}"[:-3],
            f"{each.after:.3f}",
            each.step,
            each.attempt,
            ids(each.what, style=style),
            ids(each.reason + by),
        )
    return made


def _at(saga: Standing) -> str:
    """The name that does the work, as the timeline has it."""
    if saga.step is None or saga.status not in AT_A_STEP:
        return ""
    definition = sagas().get((saga.saga, saga.version))
    return queue_of(definition, saga.step, saga.direction)


def shown(it: Shown) -> RenderableType:
    parts: list[RenderableType] = [_head(it), timeline(it.timeline)]
    return Group(*parts, *kept(it))


def _head(it: Shown) -> Text:
    saga = it.saga
    head = plain(f"{saga.saga} v{saga.version} {saga.saga_id}", "bold")
    head.append_text(plain(f"  tenant {saga.tenant_id}  request {saga.request_id}  "))
    head.append_text(status(saga.status))
    if at := _at(saga):
        head.append_text(plain(f"  at {at} ({saga.direction}, attempt {saga.attempt})"))
    if it.due_at:
        head.append_text(plain(f"  due {moment(it.due_at)}"))
    if saga.reason:
        head.append_text(plain(f"  {saga.reason}", "italic"))
    if "criteria" in it.request:
        head.append("\n")
        head.append_text(plain(f"asked: {it.request.get('leads')} leads: {it.request['criteria']}"))
    return head
