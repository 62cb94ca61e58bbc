"""Sagas as tables and timelines."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.operate.find import Standing
from orchestrator.operate.inspect import Shown
from orchestrator.operate.render.kept import kept
from orchestrator.operate.render.text import add, ids, moment, plain, status, style_of, table
from orchestrator.operate.timeline import Moment


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
        "id",
    )
    for each in found:
        at_step = each.step if each.status in {"running", "unwinding", "parked"} else ""
        times = moment(each.created_at), moment(each.updated_at)
        add(
            made,
            each.tenant_id,
            each.request_id,
            each.saga,
            each.leads,
            status(each.status),
            at_step,
            *times,
            each.saga_id,
        )
    return made


def timeline(moments: Sequence[Moment], title: str = "timeline") -> Table:
    """What happened, entry by entry; of an undo, the undo's own name."""
    made = table(title, ">#", "time (UTC)", ">+s", "step", ">try", "what", "why")
    for each in moments:
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


def shown(it: Shown) -> RenderableType:
    parts: list[RenderableType] = [_head(it), timeline(it.timeline)]
    return Group(*parts, *kept(it))


def _head(it: Shown) -> Text:
    saga = it.saga
    head = plain(f"{saga.saga} v{saga.version} {saga.saga_id}", "bold")
    head.append_text(plain(f"  tenant {saga.tenant_id}  request {saga.request_id}  "))
    head.append_text(status(saga.status))
    if saga.status in {"running", "unwinding", "parked"}:
        head.append_text(plain(f"  at {saga.step} ({saga.direction}, attempt {saga.attempt})"))
    if it.due_at:
        head.append_text(plain(f"  due {it.due_at}"))
    if saga.reason:
        head.append_text(plain(f"  {saga.reason}", "italic"))
    if "criteria" in it.request:
        head.append("\n")
        head.append_text(plain(f"asked: {it.request.get('leads')} leads: {it.request['criteria']}"))
    return head
