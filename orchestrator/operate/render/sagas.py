"""Sagas as tables and timelines."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.operate.find import Standing
from orchestrator.operate.inspect import Effect, LedgerLine, Shown
from orchestrator.operate.render.text import add, clean, moment, plain, table
from orchestrator.operate.timeline import Moment

STYLES = {
    "completed": "green",
    "succeeded": "green",
    "sent": "green",
    "confirmed": "green",
    "done": "green",
    "rolled_back": "yellow",
    "unwinding": "yellow",
    "failed": "red",
    "parked": "bold red",
    "rejected": "red",
    "running": "cyan",
}


def status(word: str | None) -> Text:
    return plain(word, STYLES.get(word or "", ""))


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
        style = STYLES.get(each.kind, "") if each.kind != "ended" else "bold"
        add(
            made,
            each.seq,
            f"{each.at:%H:%M:%S.%f}"[:-3],
            f"{each.after:.3f}",
            each.step,
            each.attempt,
            plain(each.what, style),
            each.reason + by,
        )
    return made


def shown(it: Shown) -> RenderableType:
    parts: list[RenderableType] = [_head(it), timeline(it.timeline)]
    if it.effects:
        parts.append(_effects(it.effects))
    if it.ledger:
        parts.append(_ledger(it.ledger))
    if it.model.calls:
        parts.append(_model(it))
    parts += _told(it)
    return Group(*parts)


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


def _effects(effects: Sequence[Effect]) -> Table:
    made = table("effects", "step", "direction", "state", ">attempt", ">answered", "answer", "outside ids")
    for each in effects:
        outside = ", ".join(f"{name} {value}" for name, value in each.outside.items())
        answer = (each.answer or {}).get("kind", "") + (" (owed)" if each.owed else "")
        numbers = each.attempt, each.answered
        add(made, each.step, each.direction, status(each.state), *numbers, answer, outside)
    return made


def _ledger(lines: Sequence[LedgerLine]) -> Table:
    made = table("ledger", "kind", ">leads", ">price", "period", "recorded", "carried by", "Stripe", "why")
    for each in lines:
        price = f"{each.unit_price.normalize():f} {each.currency}"
        carrier = f"{each.identifier} ({each.intent_value})" if each.identifier else "not planned yet"
        why = each.reason or each.intent_error
        add(
            made,
            each.kind,
            each.leads,
            price,
            f"{each.period_start:%Y-%m-%d}",
            moment(each.occurred_at),
            carrier,
            status(each.intent),
            why,
        )
    return made


def _model(it: Shown) -> Text:
    model = it.model
    unpriced = f", {model.unpriced} unpriced" if model.unpriced else ""
    return plain(
        f"model: {model.calls} calls, {model.answered} answered, "
        f"{model.input_tokens} + {model.output_tokens} tokens, {model.cost_usd:f} USD{unpriced}"
    )


def _told(it: Shown) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if it.notices:
        made = table("notices", "event", "title", "state", ">tries", "error", "settled")
        for note in it.notices:
            state = status(note.state)
            add(made, note.event, note.title, state, note.attempts, note.error, moment(note.settled_at))
        parts.append(made)
    if it.dead_letters:
        made = table("dead letters", "id", "queue", ">try", "error", "why", "status", "last")
        for letter in it.dead_letters:
            about = letter.queue, letter.attempt, letter.error, letter.reason
            add(made, letter.dead_letter_id, *about, letter.status, moment(letter.last_at))
        parts.append(made)
    if it.orders:
        made = table("orders", "order", "by", "why", "at", "result")
        for order in it.orders:
            kind = clean(f"{order.kind} {order.verdict or ''}").strip()
            add(
                made,
                kind,
                order.actor,
                order.reason,
                moment(order.created_at),
                order.result or "not taken yet",
            )
        parts.append(made)
    return parts
