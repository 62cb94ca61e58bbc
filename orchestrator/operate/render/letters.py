"""Dead letters on a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from orchestrator.operate.attempts import Attempt
from orchestrator.operate.dead_letters import Cause, DeadLetter
from orchestrator.operate.opened import Begun, Opened
from orchestrator.operate.plain import dumps
from orchestrator.operate.render.text import add, day_time, ids, moment, plain, status, table


def dead_letters(found: Sequence[DeadLetter]) -> RenderableType:
    made = table(
        f"dead letters: {len(found)}",
        "id",
        "tenant",
        "queue",
        ">try",
        "error",
        "why",
        "status",
        ">seen",
        "last",
    )
    for each in found:
        about = each.tenant_id, each.queue, each.attempt, each.error, ids(each.why)
        add(made, each.dead_letter_id, *about, each.status, each.times_seen, moment(each.last_at))
    return made


def causes(found: Sequence[Cause]) -> RenderableType:
    """The newest first, so that what began tonight stands at the top."""
    made = table(
        f"causes: {len(found)}",
        "fingerprint",
        "queue",
        "error",
        ">letters",
        ">seen",
        ">tenants",
        "first",
        "last",
        "for example",
    )
    for each in found:
        counts = each.letters, each.seen, each.tenants
        times = moment(each.first_at), moment(each.last_at)
        add(made, each.fingerprint, each.queue, each.error, *counts, *times, ids(each.example, each.reason))
    return made


def closed(it: DeadLetter) -> RenderableType:
    return plain(f"dead letter {it.dead_letter_id}: {it.status}", "green")


def opened(it: Opened) -> RenderableType:
    lines: list[RenderableType] = [plain(f"dead letter {it.letter.dead_letter_id}", "bold")]
    lines += [plain(f"  {name}: {value}") for name, value in _facts(it)]
    if it.attempts:
        lines.append(_attempts(it.attempts))
    if it.message is None:
        lines.append(plain(f"  message: {it.size} bytes, not JSON"))
    else:
        lines.append(plain(f"  message: {it.size} bytes, texts shortened"))
        lines += [plain(line) for line in dumps(it.message, indent=2).splitlines()]
    return Group(*lines)


def _facts(it: Opened) -> list[tuple[str, str]]:
    letter = it.letter
    saga = f"{letter.saga} {letter.saga_id}, {letter.direction} {letter.step}, attempt {letter.attempt}"
    facts = [
        ("why", it.why),
        ("queue", letter.queue),
        ("status", letter.status),
        ("tenant", letter.tenant_id or "unknown"),
        ("saga", saga if letter.saga_id else "unknown"),
        ("error", f"{letter.error}, fingerprint {letter.fingerprint}"),
        ("came with", letter.routing_key or "a key that is not known"),
        ("seen", f"{letter.times_seen} times, {moment(letter.first_at)} to {moment(letter.last_at)}"),
    ]
    return [*facts, ("its step", _begun(it.effect))] if it.effect else facts


def _begun(effect: Begun) -> str:
    times = f"begun {effect.starts} times, last at {moment(effect.started_at)}" if effect.started_at else ""
    known = f"{effect.state}; attempt {effect.attempt}, {effect.answered} answered", times
    return "; ".join(part for part in (*known, "an answer is owed" if effect.owed else "") if part)


def _attempts(made: Sequence[Attempt]) -> Table:
    shown = table("attempts", ">try", "asked", ">again", "answered", "answer", "error", "why", "replayed by")
    for each in made:
        times = moment(each.asked_at), each.asked_again or "", day_time(each.answered_at)
        answer = status(each.answer or "none")
        add(shown, each.attempt, *times, answer, each.error, ids(each.reason), each.replayed_by)
    return shown
