"""Chat and the model, where "once" has exceptions: what they may be, and how many there were."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.kit.history.records import History
from tests.kit.history.violation import Finding


def notices_are_said_at_most_once(history: History) -> Iterator[Finding]:
    """Those that count as sent exactly once; those of which nobody knows at most once; others never."""
    for notice in history.notices or ():
        if notice.said is None:
            continue
        least, most = int(notice.state == "sent"), int(notice.state in {"sent", "unknown", "sending"})
        if not least <= notice.said <= most:
            yield (
                notice.key,
                f"its notice of {notice.event} is {notice.state} and was said {notice.said} times",
            )


def model_calls_are_on_record(history: History) -> Iterator[Finding]:
    """A call is written down before it is made, so the vendor never took one that is on no record of ours."""
    if history.model_calls is None or history.calls_at_vendor is None:
        return
    recorded = sum(calls.begun + calls.known for calls in history.model_calls)
    if history.calls_at_vendor > recorded:
        yield (
            "all tenants",
            f"the vendor took {history.calls_at_vendor} model calls, {recorded} are on record",
        )


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What is not promised to happen exactly once. Nobody is charged for any of it."""

    model_calls_unknown: int
    """Begun, and nobody knows what became of them: their work was asked for again."""
    notices_unknown: int
    """Perhaps sent, and not repeated."""


def exceptions(history: History) -> Exceptions:
    return Exceptions(
        model_calls_unknown=sum(calls.begun for calls in history.model_calls or ()),
        notices_unknown=sum(notice.state == "unknown" for notice in history.notices or ()),
    )


RULES = (notices_are_said_at_most_once, model_calls_are_on_record)
