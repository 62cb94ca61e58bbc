"""What upstream services should not send, on the real broker: each ends in a clear reason, and stops nothing
else: a healthy request sent right behind it is completed."""

import json
import secrets
from typing import Any

import pytest

from contracts.requests import LeadRequested
from tests.kit.asking import lead_request
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]

MALFORMED = 'leadsaga_messages_malformed_total{queue="requests"}'


async def still_works(system: RunningSystem, tenant: Tenant) -> None:
    request = lead_request(tenant, leads=1)
    await system.upstream.ask(request)
    completed = await system.upstream.outcome(request)
    assert ("completed", 1) == (completed.event, completed.delivered)


def body_of(request: LeadRequested, **changes: Any) -> bytes:
    return json.dumps({**request.model_dump(), **changes}).encode()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "N of 0": ({"leads": 0}, "leads: Input should be greater than or equal to 1"),
    "negative N": ({"leads": -5}, "leads: Input should be greater than or equal to 1"),
    "N over 500": ({"leads": 501}, "leads: Input should be less than or equal to 500"),
    "N as text": ({"leads": "5"}, "leads: Input should be a valid integer"),
    "criteria too long": ({"criteria": "x" * 2001}, "criteria: String should have at most 2000 characters"),
    "criteria empty": ({"criteria": " \n "}, "criteria: String should have at least 1 character"),
    "criteria missing": ({"criteria": None}, "criteria: Input should be a valid string"),
    "criteria with a NUL": ({"criteria": "bicycle\0makers"}, "criteria: String should match pattern"),
    "unknown type": ({"type": "leads_wanted"}, "Input is of no known kind"),
    "wrong version": ({"v": 2}, "version"),
    "language with a line break": ({"language": "en\n"}, "language: String should match pattern"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_request_that_says_who_asks_is_refused_with_what_to_change(
    system: RunningSystem, fault: str
) -> None:
    tenant, (changes, reason) = await system.tenant(), FAULTS[fault]
    request = lead_request(tenant)
    body = body_of(request, **changes)
    before = await system.metric("orchestrator", MALFORMED)

    await system.upstream.send_raw(body, f"{tenant.tenant_id}.lead_requested")
    await still_works(system, tenant)

    refused = await system.upstream.outcome(request)
    assert "refused" == refused.event
    assert reason in refused.reason
    letter = await system.until_buried(request.request_id.encode())
    assert ("requests", "Malformed", refused.reason) == (letter["queue"], letter["error"], letter["reason"])
    assert body == bytes(letter["message"])
    assert before + 1 == await system.metric("orchestrator", MALFORMED)
    assert await system.saga_of(tenant, request.request_id) is None


def nested(depth: int) -> bytes:
    return b'{"v":1,"items":' + b"[" * depth + b"]" * depth + b"}"


NONSENSE = {
    "not JSON": (b"leads, please: %s", "not JSON"),
    "not UTF-8": (b'{"v":1,"criteria":"\xff\xfe %s"}', "not JSON"),
    "not an object": (b'["%s"]', "not a JSON object"),
    "an object of another kind": (b'{"v":1,"greeting":"%s"}', "Unable to extract tag"),
    "items that are no list": (b'{"v":1,"items":"%s"}', "items is not a list"),
    "deeply nested JSON": (nested(100_000) + b"%s", "nested too deeply"),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_nonsense_becomes_a_dead_letter_with_a_reason(system: RunningSystem, kind: str) -> None:
    tenant, (pattern, reason) = await system.tenant(), NONSENSE[kind]
    mark = secrets.token_hex(8).encode()

    await system.upstream.send_raw(pattern.replace(b"%s", mark), f"{tenant.tenant_id}.lead_requested")
    await still_works(system, tenant)

    letter = await system.until_buried(mark)
    assert ("requests", "Malformed", "open") == (letter["queue"], letter["error"], letter["status"])
    assert reason in letter["reason"]


async def test_a_message_of_a_megabyte_is_refused_unread(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant)

    body = body_of(request, padding="x" * 1_000_000)
    await system.upstream.send_raw(body, f"{tenant.tenant_id}.lead_requested")
    await still_works(system, tenant)

    refused = await system.upstream.outcome(request)
    assert ("refused", "larger than 256000 bytes") == (refused.event, refused.reason)
    assert body == bytes((await system.until_buried(request.request_id.encode()))["message"])


async def test_a_request_in_the_name_of_another_tenant_is_not_carried_out(system: RunningSystem) -> None:
    mallory, victim = await system.tenant(), await system.tenant()
    request = lead_request(victim)

    await system.upstream.send_raw(request.model_dump_json().encode(), f"{mallory.tenant_id}.lead_requested")
    await still_works(system, victim)

    letter = await system.until_buried(request.request_id.encode())
    assert "the message names another tenant than its routing key" == letter["reason"]
    assert await system.saga_of(victim, request.request_id) is None
    assert [] == system.upstream.of(victim.tenant_id, request.request_id)


async def test_a_wrong_request_in_the_name_of_another_tenant_is_not_answered_to_that_tenant(
    system: RunningSystem,
) -> None:
    mallory, victim = await system.tenant(), await system.tenant()
    request = lead_request(victim)

    await system.upstream.send_raw(body_of(request, leads=0), f"{mallory.tenant_id}.lead_requested")
    await still_works(system, victim)

    assert "Malformed" == (await system.until_buried(request.request_id.encode()))["error"]
    assert [] == system.upstream.of(victim.tenant_id, request.request_id)


async def test_the_sound_requests_of_a_bundle_are_carried_out_and_the_others_buried(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    sound, wrong = lead_request(tenant), lead_request(tenant)
    mark = secrets.token_hex(8)
    items = [mark, [mark], {mark: 7}, json.loads(body_of(wrong, leads=0)), sound.model_dump()]

    await system.upstream.send_raw(
        json.dumps({"v": 1, "items": items}).encode(), f"{tenant.tenant_id}.lead_requested"
    )

    assert "completed" == (await system.upstream.outcome(sound)).event
    assert "refused" == (await system.upstream.outcome(wrong)).event
    await system.until_sql(
        "SELECT count(*) = 3 FROM dead_letters WHERE position($1 IN message) > 0", mark.encode()
    )
    assert wrong.request_id in (await system.until_buried(wrong.request_id.encode()))["message"].decode()


async def test_a_message_that_claims_thousands_of_items_is_one_dead_letter(system: RunningSystem) -> None:
    tenant = await system.tenant()
    mark = secrets.token_hex(8)
    body = json.dumps({"v": 1, "mark": mark, "items": [{}] * 40_000}).encode()

    await system.upstream.send_raw(body, f"{tenant.tenant_id}.lead_requested")

    letter = await system.until_buried(mark.encode())
    assert "more than 1000 items" == letter["reason"]
    assert 1 == len(await system.dead_letters(mark.encode()))
    await still_works(system, tenant)


async def test_an_empty_bundle_asks_for_nothing(system: RunningSystem) -> None:
    tenant = await system.tenant()

    await system.upstream.send_raw(b'{"v":1,"items":[]}', f"{tenant.tenant_id}.lead_requested")
    await still_works(system, tenant)

    assert 1 == await system.sql.fetchval(
        "SELECT count(*) FROM requests WHERE tenant_id = $1", tenant.tenant_id
    )


async def test_the_same_malformed_message_again_is_the_same_dead_letter(system: RunningSystem) -> None:
    tenant = await system.tenant()
    mark = secrets.token_hex(8)
    body = f"nonsense {mark}".encode()

    await system.upstream.send_raw(body, f"{tenant.tenant_id}.x", message_id=mark)
    first = await system.until_buried(body)
    await system.upstream.send_raw(body, f"{tenant.tenant_id}.x", message_id=mark)

    await system.until_sql(
        "SELECT last_at > $2 FROM dead_letters WHERE position($1 IN message) > 0", body, first["last_at"]
    )
    assert 1 == len(await system.dead_letters(body))
    await still_works(system, tenant)
