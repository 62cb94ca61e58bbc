"""What the steps of one saga keep, as tables that fit 120 columns."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.table import Table

from orchestrator.operate.inspect import Shown
from orchestrator.operate.lines import BuriedLine, Effect, LedgerLine, ModelCallLine, NoticeLine, OrderLine
from orchestrator.operate.render.text import add, day_time, ids, moment, plain, status, table


def kept(it: Shown) -> list[RenderableType]:
    """Without the tables that would be empty."""
    parts: list[RenderableType] = []
    if it.effects:
        parts.append(_effects(it.effects))
    if it.ledger:
        parts.append(_ledger(it.ledger))
    if it.model_calls:
        parts.append(_model_calls(it, it.model_calls))
    if it.notices:
        parts.append(_notices(it.notices))
    if it.dead_letters:
        parts.append(_dead_letters(it.dead_letters))
    if it.orders:
        parts.append(_orders(it.orders))
    return parts


def _effects(effects: Sequence[Effect]) -> Table:
    made = table("effects", "step", "direction", "state", ">try", ">answered", "answer", "outside ids")
    for each in effects:
        outside = ids(*(f"{name} {value}" for name, value in each.outside.items()))
        answer = (each.answer or {}).get("kind", "") + (" (owed)" if each.owed else "")
        numbers = each.attempt, each.answered
        add(made, each.step, each.direction, status(each.state), *numbers, answer, outside)
    return made


def _ledger(lines: Sequence[LedgerLine]) -> Table:
    made = table("ledger", "kind", ">leads", ">price", "period", "recorded", "carried by", "Stripe", "why")
    for each in lines:
        price = f"{each.unit_price.normalize():f} {each.currency}"
        carrier = _carrier(each)
        times = f"{each.period_start:%Y-%m-%d}", day_time(each.occurred_at)
        why = "; ".join(each_why for each_why in (each.reason, each.intent_error) if each_why)
        add(made, each.kind, each.leads, price, *times, ids(carrier), status(each.intent), ids(why))
    return made


def _carrier(line: LedgerLine) -> str:
    if line.identifier is None:
        return "not planned yet"
    if line.instrument is None:
        return f"{line.identifier} ({line.intent_value})"
    of = f" of {line.invoice}" if line.invoice else ""
    return f"{line.instrument} {line.identifier}{of} ({line.credited} {line.currency}, smallest unit)"


def _model_calls(it: Shown, calls: Sequence[ModelCallLine]) -> Table:
    sums = it.model
    unpriced = f", {sums.unpriced} unpriced" if sums.unpriced else ""
    made = table(
        f"model calls: {sums.calls}, {sums.answered} answered, "
        f"{sums.input_tokens} + {sums.output_tokens} tokens, {_money(sums.cost_usd)} USD{unpriced}",
        ">part",
        "outcome",
        "model",
        ">in",
        ">out",
        ">USD",
        ">s",
        "provider id",
        "error",
    )
    for each in calls:
        tokens = each.input_tokens, each.output_tokens
        cost = "" if each.cost_usd is None else _money(each.cost_usd)
        who = ids(each.provider_id)
        add(made, each.part, status(each.outcome), each.model, *tokens, cost, each.seconds, who, each.error)
    return made


def _money(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _notices(notices: Sequence[NoticeLine]) -> Table:
    made = table("notices", "event", "title", "state", ">tries", "error", "settled")
    for note in notices:
        state = status(note.state)
        add(made, note.event, note.title, state, note.attempts, note.error, moment(note.settled_at))
    return made


def _dead_letters(letters: Sequence[BuriedLine]) -> Table:
    made = table("dead letters", "id", "queue", ">try", "error", "why", "status", "last")
    for letter in letters:
        about = letter.queue, letter.attempt, letter.error, ids(letter.reason)
        add(made, ids(letter.dead_letter_id), *about, letter.status, moment(letter.last_at))
    return made


def _orders(orders: Sequence[OrderLine]) -> Table:
    made = table("orders", "order", "by", "why", "at", "result")
    for order in orders:
        kind = plain(f"{order.kind} {order.verdict or ''}".strip())
        result = order.result or "not taken yet"
        add(made, kind, order.actor, order.reason, moment(order.created_at), result)
    return made
