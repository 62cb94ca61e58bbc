"""The AsyncAPI document says what the consumers that run really consume."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from contracts.events import Event
from contracts.names import REPLIES, REQUESTS, heard_queue
from deploy.asyncapi import FILE, WRITE, Json, document, text
from orchestrator.sagas import REGISTERED
from steps import catalogue


@pytest.fixture(scope="module")
def made() -> Json:
    return document()


def test_the_stored_document_is_what_the_consumers_say(made: Json) -> None:
    assert FILE.read_text(encoding="utf-8") == text(made), f"out of date; run: {WRITE}"


def test_the_document_is_the_same_every_time(made: Json) -> None:
    assert text(made) == text(document())


def test_every_queue_of_the_sagas_and_steps_is_received_from(made: Json) -> None:
    steps = [catalogue.find(name) for name in catalogue.names()]
    work = {queue for saga in REGISTERED for queue in saga.queues()}
    heard = {heard_queue(step.name) for step in steps if step.hears}
    asked = {queue for step in steps for queue in step.work()}
    received = {name for name, each in made["operations"].items() if each["action"] == "receive"}
    expected = {REQUESTS, REPLIES, *work, *heard, *asked}
    dead = {f"{queue}.dead" for queue in {REQUESTS, REPLIES, *work}}
    assert expected | dead == received - {f"{queue}.dead" for queue in heard}


def test_every_event_is_sent_to_the_events_exchange_by_its_own_key(made: Json) -> None:
    events = {str(model.model_fields["event"].default) for model in get_args(get_args(Event)[0])}
    sent = {name for name, each in made["operations"].items() if each["action"] == "send"}
    assert {f"events.{event}" for event in events} == sent
    for event in events:
        channel = made["channels"][f"events.{event}"]
        assert f"*.{event}" == channel["address"]
        assert "leadsaga.events" == channel["bindings"]["amqp"]["exchange"]["name"]


def test_every_reference_leads_somewhere(made: Json) -> None:
    references = list(_references(made))
    assert len(references) > 100
    for reference in references:
        assert isinstance(_resolve(made, reference), dict), reference


def test_every_channel_has_a_message_with_a_payload(made: Json) -> None:
    for name, channel in made["channels"].items():
        for message in channel["messages"].values():
            payload = _resolve(made, message["$ref"])["payload"]
            schema = _resolve(made, payload["$ref"])
            assert schema.keys() & {"properties", "oneOf"}, name


def test_requests_are_any_of_the_four_kinds(made: Json) -> None:
    payload = _resolve(made, made["components"]["messages"][REQUESTS]["payload"]["$ref"])
    kinds = {reference["$ref"].rpartition("/")[2] for reference in payload["oneOf"]}
    assert {"LeadRequested", "CancelRequested", "RefundRequested", "TenantRequested"} == kinds


def test_names_have_the_form_that_asyncapi_asks_for(made: Json) -> None:
    components = made["components"]
    for names in (made["channels"], made["operations"], components["messages"], components["schemas"]):
        assert [] == [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)]


def test_nothing_of_the_machine_is_in_the_document(made: Json) -> None:
    assert "servers" not in made
    assert "amqp://" not in json.dumps(made)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _resolve(made: Json, reference: str) -> Any:
    found: Any = made
    root, *parts = reference.split("/")
    assert "#" == root
    for part in parts:
        found = found[part]
    return found
