"""What is handled together is acknowledged together, and nothing that is not handled yet."""

import asyncio
from typing import Any, cast

from contracts.process.consuming import _Acks


class Channel:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, bool]] = []

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool) -> None:
        assert not wait
        self.told.append(("ack", tag, multiple))

    async def basic_reject(self, tag: int, *, requeue: bool, wait: bool) -> None:
        assert not requeue
        assert not wait
        self.told.append(("reject", tag, False))


def acks(*delivered: int) -> tuple[_Acks, Channel]:
    channel = Channel()
    return _Acks(cast(Any, channel), dict.fromkeys(delivered, False)), channel


async def test_a_group_is_acknowledged_with_one_frame() -> None:
    given, channel = acks(1, 2, 3)
    await asyncio.gather(*map(given.give, (2, 3, 1)))
    assert [("ack", 3, True)] == channel.told
    assert {} == given.handled


async def test_one_message_is_acknowledged_by_itself() -> None:
    given, channel = acks(7)
    await given.give(7)
    assert [("ack", 7, False)] == channel.told


async def test_what_is_still_handled_is_not_acknowledged_and_holds_nobody_back() -> None:
    given, channel = acks(1, 2, 3, 4)
    await asyncio.gather(*map(given.give, (1, 2, 4)))
    assert [("ack", 2, True), ("ack", 4, False)] == channel.told
    await given.give(3)
    assert ("ack", 3, False) == channel.told[-1]


async def test_what_was_rejected_is_acknowledged_by_nobody() -> None:
    given, channel = acks(1, 2)
    await given.reject(1)
    await given.give(2)
    assert [("reject", 1, False), ("ack", 2, False)] == channel.told
