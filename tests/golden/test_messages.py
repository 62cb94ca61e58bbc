"""Releases that run side by side understand each other's messages."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from contracts import snapshots
from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.requests import Request
from tests.golden.kept import RECORDS, Record
from tests.kit.json_schema import faults

READERS: dict[str, TypeAdapter[Any]] = {
    "request": TypeAdapter(Request),
    "command": TypeAdapter(Command),
    "reply": TypeAdapter(Reply),
    "event": TypeAdapter(Event),
}
MESSAGES = [
    pytest.param(record, each, id=f"{record}-{number}-{each['what']}")
    for record in RECORDS
    for number, each in enumerate(record.read("messages"))
    if each["body"].get("type") != "nonsense"
]


def schema_of(record: Record, what: str, body: dict[str, Any]) -> dict[str, Any]:
    tag = body.get("type") or body.get("event")
    found: dict[str, Any] = record.schemas[f"{what}.{tag}" if tag else what]
    return found


@pytest.mark.parametrize(("record", "message"), MESSAGES)
def test_what_an_older_release_says_is_understood_whole(record: Record, message: dict[str, Any]) -> None:
    body = message["body"]
    read = READERS[message["what"]].validate_json(json.dumps(body))
    said = json.loads(read.model_dump_json())
    assert {} == {name: value for name, value in body.items() if said.get(name) != value}


@pytest.mark.parametrize(("record", "message"), MESSAGES)
def test_what_this_release_says_obeys_the_schema_of_an_older_one(
    record: Record, message: dict[str, Any]
) -> None:
    said = json.loads(READERS[message["what"]].validate_python(message["body"]).model_dump_json())
    assert [] == list(faults(schema_of(record, message["what"], said), said))


@pytest.mark.parametrize(("record", "message"), MESSAGES)
def test_what_a_newer_release_adds_is_ignored(record: Record, message: dict[str, Any]) -> None:
    body, reader = message["body"], READERS[message["what"]]
    more = {**body, "added_later": {"by": ["a newer release"]}}
    if "outcome" in body:
        more["outcome"] = {**body["outcome"], "added_later": 1}
    assert reader.validate_json(json.dumps(body)) == reader.validate_json(json.dumps(more))


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_no_message_has_changed_in_a_way_that_an_older_release_cannot_live_with(record: Record) -> None:
    now = snapshots.schemas()
    assert {} == {
        name: broken for name, old in record.schemas.items() if (broken := snapshots.breaking(old, now[name]))
    }


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_a_message_of_every_kind_is_on_record(record: Record) -> None:
    said = {
        ".".join(filter(None, [each["what"], each["body"].get("type") or each["body"].get("event")]))
        for each in record.read("messages")
    }
    assert set() == record.schemas.keys() - said


def test_a_message_that_breaks_a_rule_is_noticed() -> None:
    reply = next(each["body"] for each in RECORDS[0].read("messages") if each["what"] == "reply")
    schema = RECORDS[0].schemas["reply"]
    assert [] == list(faults(schema, reply))
    for change in ({"attempt": 0}, {"attempt": "1"}, {"outcome": {"kind": "maybe"}}, {"direction": None}):
        assert list(faults(schema, {**reply, **change})), change
    assert list(faults(schema, {name: value for name, value in reply.items() if name != "saga_id"}))
