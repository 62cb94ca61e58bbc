"""A bundle is read item by item, whatever arrives, and faults never repeat what the sender wrote."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.bundle import Malformed, decode, encode
from contracts.facts import QuotaReserved, UsageRecorded
from contracts.messages import Command, Reply, reply_to
from contracts.outcomes import Done, Rejected
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, Request

SECRET = "sk_live_51Hsecret"
FIELDS: dict[str, Any] = {
    "tenant_id": "acme",
    "saga_id": "0192f0c8-7d2e-7c3a-9b1e-2f4a6c8e0d11",
    "saga": "lead",
    "request_id": "r-1",
    "step": "reserve_quota",
    "direction": "do",
    "attempt": 1,
    "last": False,
    "timeout": 10.0,
    "request": {"leads": 3},
    "facts": {"reserve_quota": {"leads": 3}},
}
COMMAND = Command(**FIELDS)
LEAD: dict[str, Any] = {
    "v": 1,
    "type": "lead_requested",
    "tenant_id": "acme",
    "request_id": "r-1",
    "criteria": "x",
    "leads": 3,
}


def bundle(*items: Any, v: Any = 1) -> bytes:
    return json.dumps({"v": v, "items": items}).encode()


def reasons(body: bytes, item_type: Any = Command) -> list[str]:
    found = decode(body, item_type)
    assert all(isinstance(each, Malformed) for each in found)
    return [each.reason for each in found]


def test_what_was_encoded_is_decoded() -> None:
    replies = [
        reply_to(COMMAND, Done(facts={"leads": 3})),
        reply_to(COMMAND, Rejected(reason="no"), attempt=2),
    ]
    assert [COMMAND, COMMAND] == decode(encode([COMMAND, COMMAND]), Command)
    assert replies == decode(encode(replies), Reply)
    assert [] == decode(encode([]), Command)


def test_a_reply_answers_the_attempt_of_its_command_unless_told_otherwise() -> None:
    reply = reply_to(COMMAND, Done())
    assert (UUID(FIELDS["saga_id"]), "reserve_quota", "do", 1) == (
        reply.saga_id,
        reply.step,
        reply.direction,
        reply.attempt,
    )


def test_a_command_carries_its_request_and_earlier_results() -> None:
    period = {"period_start": "2026-11-01T00:00:00Z", "period_end": "2026-12-01T00:00:00Z"}
    command = Command(**{**FIELDS, "request": LEAD, "facts": {"reserve_quota": {"leads": 3, **period}}})
    assert LeadRequested(**LEAD) == command.asked(LeadRequested)
    assert 3 == command.fact(QuotaReserved).leads
    with pytest.raises(KeyError):
        command.fact(UsageRecorded)


def test_a_message_that_is_one_item_is_a_bundle_of_one() -> None:
    assert [LeadRequested(**LEAD)] == decode(json.dumps(LEAD).encode(), Request)


def test_a_malformed_item_stops_no_other() -> None:
    first, second, third = decode(bundle(FIELDS, {**FIELDS, "attempt": 0}, FIELDS), Command)
    assert COMMAND == first == third
    assert "attempt: Input should be greater than or equal to 1" == second.reason
    assert {**FIELDS, "attempt": 0} == json.loads(second.raw)


def test_fields_that_a_newer_sender_added_are_ignored() -> None:
    newer = json.dumps({"v": 1, "priority": 9, "items": [{**FIELDS, "colour": "blue"}]}).encode()
    assert [COMMAND] == decode(newer, Command)
    mixed = bundle({**FIELDS, "colour": "blue"}, {})
    assert COMMAND == decode(mixed, Command)[0]


@pytest.mark.parametrize("version", [2, 0, True, 1.0, "1", None, [1]])
def test_another_version_is_never_guessed_at(version: Any) -> None:
    assert ["its version is not understood; this side speaks 1"] == reasons(bundle(FIELDS, v=version))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"v":1,', "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "its version is not understood; this side speaks 1"),
        (b'{"v":1,"items":{}}', "items is not a list"),
        (b'{"v":1,"items":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested too deeply"),
    ],
)
def test_what_is_no_bundle_is_one_malformed_item(body: bytes, reason: str) -> None:
    assert [Malformed(body, reason)] == decode(body, Command)


def test_half_a_character_is_malformed() -> None:
    """JSON can write half of a surrogate pair, which is no text."""
    (reason,) = reasons(b'{"v":1,"items":["\\ud800"]}')
    assert reason.startswith("message: Invalid JSON")


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_reason_never_repeats_a_value(field: str) -> None:
    wrong = [SECRET, {SECRET: SECRET}, [SECRET]]
    for reason in reasons_of_faults({**FIELDS, field: value} for value in wrong):
        assert reason.startswith(field)
        assert not repeats(reason, SECRET)


def reasons_of_faults(items: Any) -> list[str]:
    return [each.reason for each in decode(bundle(*items), Command) if isinstance(each, Malformed)]


def repeats(reason: str, secret: str) -> bool:
    return secret in reason or f"`{secret[0]}`" in reason


@pytest.mark.parametrize(
    "body",
    [
        bundle(v=SECRET),
        bundle({**FIELDS, "facts": {SECRET: 1}}),
        bundle({SECRET: SECRET}),
        bundle({**FIELDS, "step": 5, "outcome": {"kind": SECRET}}),
        json.dumps({"v": 1, "type": SECRET}).encode(),
    ],
)
@pytest.mark.parametrize("item_type", [Command, Reply, Request])
def test_a_reason_never_repeats_a_version_a_kind_or_a_key(body: bytes, item_type: Any) -> None:
    assert SECRET not in "".join(reasons(body, item_type))


def test_a_long_list_of_faults_is_cut_short() -> None:
    (reason,) = reasons(bundle({}))
    assert reason.endswith("; and 5 more")
    assert 5 == reason.count("Field required")


@settings(derandomize=True, max_examples=300)
@given(st.binary(max_size=200))
def test_no_bytes_whatever_make_decoding_raise(body: bytes) -> None:
    assert all(isinstance(each, Malformed) for each in decode(body, Command))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(FIELDS)), inner),
    max_leaves=10,
)


@settings(derandomize=True, max_examples=200)
@given(st.lists(json_values, max_size=3))
def test_every_item_of_any_json_is_judged_on_its_own(items: list[Any]) -> None:
    found = decode(bundle(*items, FIELDS), Command)
    assert len(items) + 1 == len(found)
    assert COMMAND == found[-1]


def test_requests_are_told_apart_by_their_type() -> None:
    cancel = {"v": 1, "type": "cancel_requested", "tenant_id": "acme", "request_id": "r-1", "reason": "late"}
    lead, stop = decode(bundle(LEAD, cancel), Request)
    assert (LeadRequested, CancelRequested) == (type(lead), type(stop))


def test_a_refund_is_told_apart_by_its_refund_id() -> None:
    refund = RefundRequested(tenant_id="acme", refund_id="f-1", request_id="r-1", reason="wrong leads")
    assert ("f-1", None) == (refund.refund_id, refund.leads)
