"""Frames of the load's own line to the broker, and the counts that are taken on the wire."""

from collections import Counter
from typing import Any

import pytest
from pamqp import body, commands, frame, header

from tests.benchmarks.frames import Line, LineFailed
from tests.benchmarks.load import Load, NotCompleted
from tests.kit.counting import FROM_BROKER, FROM_US, reading_amqp, reading_postgres


class Transport:
    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data


def line_to(transport: Transport, heard: list[bytes]) -> Line:
    line = Line(heard.append)
    line.connection_made(transport)  # type: ignore[arg-type]
    return line


def delivery(*parts: bytes) -> bytes:
    whole = b"".join(parts)
    return b"".join(
        [
            frame.marshal(commands.Basic.Deliver("t", 1, False, "e", "k"), 1),
            frame.marshal(header.ContentHeader(body_size=len(whole)), 1),
            *(frame.marshal(body.ContentBody(part), 1) for part in parts),
        ]
    )


def confirmed(tag: int, *, multiple: bool) -> bytes:
    return bytes(frame.marshal(commands.Basic.Ack(tag, multiple), 1))


def test_what_is_published_reads_as_the_protocol_has_it() -> None:
    transport = Transport()
    line_to(transport, []).publish("e", [("a.k", b"one"), ("b.k", b"two")])
    data, read = bytes(transport.written), list[Any]()
    while data:
        size, _, each = frame.unmarshal(data)
        read.append(each)
        data = data[size:]
    assert ["Basic.Publish", "ContentHeader", "ContentBody"] * 2 == [each.name for each in read]
    assert ("e", "a.k", True) == (read[0].exchange, read[0].routing_key, read[0].mandatory)
    assert (3, 2) == (read[1].body_size, read[1].properties.delivery_mode)
    assert b"two" == read[5].value


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_deliveries_are_heard_however_they_are_cut(chunk: int) -> None:
    heard: list[bytes] = []
    line = line_to(Transport(), heard)
    data = delivery(b"one") + delivery(b"t", b"wo") + delivery(b"three")
    for at in range(0, len(data), chunk):
        line.data_received(data[at : at + chunk])
    assert [b"one", b"two", b"three"] == heard


def test_confirms_settle_one_or_all_before_it() -> None:
    line = line_to(Transport(), [])
    line.publish("e", [("k", b"")] * 5)
    line.data_received(confirmed(3, multiple=True) + confirmed(5, multiple=False))
    assert {4} == line.unconfirmed


def test_a_message_that_comes_back_voids_the_measurement() -> None:
    line = line_to(Transport(), [])
    line.data_received(frame.marshal(commands.Basic.Return(312, "NO_ROUTE", "e", "k"), 1))
    with pytest.raises(LineFailed, match="NO_ROUTE"):
        line.publish("e", [("k", b"")])


def test_a_saga_that_does_not_complete_voids_the_measurement() -> None:
    load = Load(["t"], "e", "run", started={"r-1": 0.0})
    load.heard(b'{"event": "failed", "request_id": "r-1", "reason": "no"}')
    with pytest.raises(NotCompleted, match="no"):
        load.check()


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_frames_are_counted_in_both_directions(chunk: int) -> None:
    ours = b"AMQP\x00\x00\x09\x01" + frame.marshal(commands.Basic.Publish(), 1) + confirmed(1, multiple=True)
    theirs = delivery(b"one") + confirmed(1, multiple=True)
    counts = Counter[str]()
    for data, read in (
        (ours, reading_amqp(FROM_US, greeting=8)),
        (theirs, reading_amqp(FROM_BROKER)),
    ):
        buffer = bytearray()
        for at in range(0, len(data), chunk):
            buffer += data[at : at + chunk]
            read(buffer, counts)
    assert {"published": 1, "acks": 1, "delivered": 1, "confirms": 1} == dict(counts)


def said(kind: bytes, text: bytes = b"") -> bytes:
    return kind + (len(text) + 4).to_bytes(4) + text


@pytest.mark.parametrize("chunk", [1, 6, 1000])
def test_statements_and_commits_are_counted(chunk: int) -> None:
    encrypted = (8).to_bytes(4) + (80877103).to_bytes(4)
    start = (12).to_bytes(4) + (196608).to_bytes(4) + b"u\0v\0"
    run = said(b"B") + said(b"E") + said(b"S")
    data = encrypted + start + said(b"Q", b"BEGIN;\0") + said(b"P") + run + said(b"Q", b"COMMIT;\0")
    counts, buffer, read = Counter[str](), bytearray(), reading_postgres()
    for at in range(0, len(data), chunk):
        buffer += data[at : at + chunk]
        read(buffer, counts)
    assert {"statements": 3, "round trips": 3, "prepared": 1, "commits": 1} == +counts
