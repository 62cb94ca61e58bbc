"""The sandbox answers the real Anthropic SDK as the vendor documents."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
import pytest_asyncio
from anthropic.types import Message, TextBlock

from deploy.sandbox.client import SandboxAdmin

pytest_plugins = ("tests.kit.sandbox",)

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"leads": {"type": "array", "items": {"$ref": "#/$defs/Lead"}}},
    "$defs": {"Lead": {"type": "object", "properties": {"company": {}, "email": {}, "score": {}}}},
}


@pytest_asyncio.fixture
async def sdk(sandbox: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        api_key="sk-ant-sandbox", base_url=f"{sandbox}/anthropic", max_retries=0
    ) as client:
        yield client


async def ask(sdk: anthropic.AsyncAnthropic, max_tokens: int = 8_000, **query: Any) -> Message:
    request = json.dumps({"criteria": "logistics firms", "language": "en", "leads": 5, "part": 0, **query})
    return await sdk.messages.create(
        model="claude-haiku-5-5",
        max_tokens=max_tokens,
        messages=[{"role": "user", "content": f"Find leads.\n<request>{request}</request>"}],
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )


def text_of(message: Message) -> str:
    (block,) = message.content
    assert isinstance(block, TextBlock)
    return block.text


def leads_of(message: Message) -> list[dict[str, Any]]:
    return list(json.loads(text_of(message))["leads"])


async def test_answers_as_many_leads_as_asked_with_usage_and_a_request_id(
    sdk: anthropic.AsyncAnthropic,
) -> None:
    message = await ask(sdk, leads=7)
    leads = leads_of(message)
    assert len(leads) == 7
    assert {
        *("company", "website", "contact_name", "contact_title", "email", "country", "reason", "score")
    } == set(leads[0])
    assert all(lead["email"].endswith(".example") for lead in leads)
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id


async def test_the_same_request_yields_the_same_leads(sdk: anthropic.AsyncAnthropic) -> None:
    assert text_of(await ask(sdk)) == text_of(await ask(sdk))


async def test_other_criteria_yield_other_leads(sdk: anthropic.AsyncAnthropic) -> None:
    assert text_of(await ask(sdk)) != text_of(await ask(sdk, criteria="bakeries"))


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it"])
async def test_parts_of_a_request_never_name_a_company_twice(
    sdk: anthropic.AsyncAnthropic, language: str
) -> None:
    leads = [
        lead
        for part in range(20)
        for lead in leads_of(await ask(sdk, language=language, leads=25, part=part))
    ]
    assert 500 == len({lead["company"] for lead in leads}) == len({lead["website"] for lead in leads})


async def test_companies_to_avoid_are_not_named_and_others_take_their_place(
    sdk: anthropic.AsyncAnthropic,
) -> None:
    first = [lead["company"] for lead in leads_of(await ask(sdk))]
    second = [
        lead["company"] for lead in leads_of(await ask(sdk, avoid=[name.upper() for name in first[:3]]))
    ]
    assert len(second) == 5
    assert set(first[:3]).isdisjoint(second)


async def test_leads_hold_only_the_fields_that_the_schema_names(sdk: anthropic.AsyncAnthropic) -> None:
    message = await sdk.messages.create(
        model="claude-haiku-5-5",
        max_tokens=8_000,
        messages=[{"role": "user", "content": '<request>{"criteria": "c", "leads": 1}</request>'}],
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    assert [{"company", "email", "score"}] == [set(lead) for lead in leads_of(message)]


async def test_too_few_tokens_cut_the_text_and_say_so(sdk: anthropic.AsyncAnthropic) -> None:
    message = await ask(sdk, max_tokens=50)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 50
    with pytest.raises(json.JSONDecodeError):
        json.loads(text_of(message))


async def test_a_call_without_a_key_is_401(sandbox: str) -> None:
    async with httpx2.AsyncClient(base_url=sandbox) as http:
        answer = await http.post(
            "/anthropic/v1/messages", json={}, headers={"anthropic-version": "2023-06-01"}
        )
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["request-id"] == answer.json()["request_id"]


async def test_an_x_api_key_is_accepted_as_well(sandbox: str) -> None:
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "sk-ant-sandbox"}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    async with httpx2.AsyncClient(base_url=sandbox) as http:
        assert (await http.post("/anthropic/v1/messages", json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"temperature": 0.5}, "temperature: Extra inputs are not permitted"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
    ],
)
async def test_a_body_the_vendor_does_not_know_is_400(
    sdk: anthropic.AsyncAnthropic, extra: dict[str, Any], words: str
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], **extra}
    with pytest.raises(anthropic.BadRequestError, match=words) as raised:
        await sdk.post("/v1/messages", body=body, cast_to=object)
    assert raised.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
async def test_an_ordered_status_arrives_as_the_sdks_own_error(
    sdk: anthropic.AsyncAnthropic,
    admin: SandboxAdmin,
    status: int,
    error: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    await admin.fault("anthropic.messages", status=status, retry_after=7, times=1)
    with pytest.raises(error) as raised:
        await ask(sdk)
    assert kind == raised.value.type
    assert raised.value.response.headers["retry-after"] == "7"
    assert len(leads_of(await ask(sdk))) == 5


async def test_an_ordered_text_replaces_the_leads(sdk: anthropic.AsyncAnthropic, admin: SandboxAdmin) -> None:
    await admin.fault("anthropic.messages", match="marker-77", text="not JSON at all")
    assert text_of(await ask(sdk, criteria="marker-77")) == "not JSON at all"
    assert len(leads_of(await ask(sdk))) == 5


async def test_keys_are_not_stored_with_the_calls(sdk: anthropic.AsyncAnthropic, admin: SandboxAdmin) -> None:
    await ask(sdk)
    (call,) = await admin.calls("anthropic.messages")
    assert call["status"] == 200
    assert "logistics firms" in call["body"]
    assert "sk-ant-sandbox" not in json.dumps(call)
