"""Where a message died, and of what: told by the broker or by the step that buried it, by nobody else."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.names import Names
from contracts.process.consuming import Delivery
from contracts.requests import Request
from orchestrator.bus.drain import Drain, death_of, kind_of
from orchestrator.run.items import Died, Item

NAMES = Names("x.")
BURIED = {"error": "Malformed", "reason": "not JSON", "queue": "record_usage", "routing-key": "record_usage"}


def moved(queue: str, key: str, reason: str = "delivery_limit") -> dict[str, Any]:
    """As the broker tells of it."""
    return {"queue": f"x.{queue}", "routing-keys": [key], "reason": reason, "count": 1, "exchange": "x.e"}


def test_what_a_step_buried_tells_where_and_why() -> None:
    death = death_of(BURIED, "record_usage", NAMES)
    assert ("record_usage", "record_usage", "Malformed", "not JSON") == (
        death.queue, death.routing_key, death.error, death.reason,
    )  # fmt: skip


def test_what_a_step_heard_lies_with_its_own_dead_letters_and_is_told_apart() -> None:
    heard = BURIED | {"queue": "notify_discord.heard", "routing-key": "acme.failed"}
    death = death_of(heard, "notify_discord", NAMES)
    assert ("notify_discord.heard", "acme.failed") == (death.queue, death.routing_key)


@pytest.mark.parametrize(
    ("grave", "queue", "key"),
    [
        ("requests", "requests", "acme.lead_requested"),
        ("record_usage", "record_usage", "record_usage"),
        ("notify_discord", "notify_discord.heard", "acme.failed"),
    ],
)
def test_what_the_broker_moved_tells_where_it_was_and_how_it_had_come(
    grave: str, queue: str, key: str
) -> None:
    death = death_of({"x-death": [moved(queue, key), moved("elsewhere", "older")]}, grave, NAMES)
    assert (queue, key, "BrokerGaveUp") == (death.queue, death.routing_key, death.error)
    assert "again and again" in death.reason


def test_what_a_sender_wrote_into_its_headers_is_not_believed() -> None:
    """The broker keeps them when it moves a message."""
    forged = {
        "queue": "replies",
        "routing-key": "victim.lead_requested",
        "error": "None",
        "reason": "all well",
    }
    by_broker = death_of(forged | {"x-death": [moved("requests", "mallory.x")]}, "requests", NAMES)
    assert ("requests", "mallory.x", "BrokerGaveUp") == (
        by_broker.queue, by_broker.routing_key, by_broker.error,
    )  # fmt: skip
    unexplained = death_of(forged | {"x-death": "garbage"}, "requests", NAMES)
    assert ("requests", None, "BrokerGaveUp") == (
        unexplained.queue, unexplained.routing_key, unexplained.error,
    )  # fmt: skip
    astray = death_of(BURIED | {"queue": "requests"}, "record_usage", NAMES)
    assert "record_usage" == astray.queue


def test_what_an_earlier_release_buried_is_a_command_of_that_queue() -> None:
    death = death_of({"error": "Poison", "reason": "it kills"}, "record_usage", NAMES)
    assert ("record_usage", "record_usage", "Poison") == (death.queue, death.routing_key, death.error)


def test_each_queue_has_messages_of_one_kind() -> None:
    kinds = {"requests": Request, "replies": Reply, "notify_discord.heard": Event, "release_quota": Command}
    assert kinds == {queue: kind_of(queue) for queue in kinds}


async def test_what_cannot_even_be_taken_apart_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter that its reader rejects has nowhere else to go."""

    def fail(*_: object) -> None:
        raise ValueError("not this one")

    monkeypatch.setattr("orchestrator.bus.drain.death_of", fail)
    heard: list[Item] = []

    async def handle(items: Sequence[Item]) -> None:
        heard.extend(items)

    loop: Any = SimpleNamespace(handle=handle, around=SimpleNamespace(new_id=uuid4))
    body = b"\x00 whatever"
    delivery = Delivery(
        items=[], body=body, message_id="m", routing_key="k", redelivered=False, count=0, headers={}
    )
    await Drain(loop, NAMES, "record_usage").take(delivery)

    (died,) = heard
    assert isinstance(died, Died)
    assert ("record_usage", "Unreadable", body) == (
        died.letter.queue, died.letter.error, died.letter.message,
    )  # fmt: skip
