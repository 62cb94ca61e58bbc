"""What the sandbox has on record, in its own words: the other side of every send, call and message."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import orjson

from tests.kit.history.postgres import NoticeText
from tests.kit.history.records import MeterEvent, MeterTotal, Notice, grouped

_TOTALS = """
SELECT customer, event_name, sum(CAST(value AS INTEGER)) AS total FROM meter_event
WHERE meter IS NOT NULL AND cancelled_at IS NULL GROUP BY 1, 2
"""
_EVENTS = """
SELECT customer, identifier, CAST(value AS INTEGER) AS value, count(*) AS times FROM meter_event
WHERE meter IS NOT NULL AND cancelled_at IS NULL GROUP BY 1, 2, 3
"""
_CALLS = "SELECT count(*) FROM call WHERE route = 'anthropic.messages' AND (status = 200 OR dropped = 1)"
_MESSAGES = "SELECT webhook, body FROM discord_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRecord:
    """`said`: how often each text of a notice is in a message, by webhook, title and body."""

    meters: list[MeterTotal]
    meter_events: list[MeterEvent]
    model_calls: int
    said: Mapping[tuple[str, str, str], int]


def read_vendors(data: Path) -> VendorRecord:
    """From the sandbox's directory: it may be running, or not."""
    file = data / "sandbox.sqlite3"
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        said: Counter[tuple[str, str, str]] = Counter()
        for row in connection.execute(_MESSAGES):
            for embed in orjson.loads(row["body"])["embeds"]:
                said[row["webhook"], embed["title"], embed["description"]] += 1
        return VendorRecord(
            meters=[MeterTotal(**dict(row)) for row in connection.execute(_TOTALS)],
            meter_events=[MeterEvent(**dict(row)) for row in connection.execute(_EVENTS)],
            model_calls=connection.execute(_CALLS).fetchone()[0],
            said=said,
        )


def notices_said(
    notices: Iterable[NoticeText], record: VendorRecord, webhooks: Mapping[str, str]
) -> list[Notice]:
    """`webhooks`: of each tenant that has one. Of notices with the same text those that count as sent have
    been said first, then those of which nobody knows; what was said beyond that is the last one's."""
    alike = grouped(((webhooks.get(each.key[0], ""), each.title, each.body), each) for each in notices)
    found = []
    for text, group in alike.items():
        left = record.said.get(text, 0)
        for place, notice in enumerate(sorted(group, key=_likelihood), 1):
            said = left if place == len(group) else min(left, int(_likelihood(notice) < _NEVER))
            left -= said
            found.append(Notice(key=notice.key, event=notice.event, state=notice.state, said=said))
    return found


_NEVER = 2


def _likelihood(notice: NoticeText) -> int:
    return {"sent": 0, "unknown": 1, "sending": 1}.get(notice.state, _NEVER)
