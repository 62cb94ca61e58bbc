"""The examples of deploy/BILLING.md are what the steps did and the sandbox recorded, without random ids.

WRITE_BILLING_PAGE=1 writes them anew.
"""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from contracts.messages import Command
from contracts.outcomes import Done, Rejected
from deploy.sandbox.client import SandboxAdmin
from tests.kit.refunding import Till, till
from tests.kit.tenants_at_work import tenants_at_work

PAGE = Path(__file__).parents[3] / "deploy" / "BILLING.md"
EXAMPLES = re.compile(r"(<!-- begin examples -->\n).*?(<!-- end examples -->)", re.DOTALL)

LONG = re.compile(r"\b(cus|in|il|cn|cbtxn|dp)_\w{14,}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")

Before = Callable[[Till], Awaitable[None]]


@pytest.fixture
async def at(database_url: str, sandbox: str, admin: SandboxAdmin) -> AsyncIterator[Till]:
    async with tenants_at_work(database_url) as world, till(world, admin, sandbox) as found:
        yield found


async def nothing(_: Till) -> None:
    """The invoice is still to be drafted."""


async def drafted(at: Till) -> None:
    await at.draft()


async def unpaid(at: Till) -> None:
    await at.final()


async def paid(at: Till) -> None:
    await at.pay((await at.final()).id)


async def disputed(at: Till) -> None:
    invoice = await at.final()
    await at.pay(invoice.id)
    await at.admin.dispute(invoice.id)


async def closing(at: Till) -> None:
    draft = await at.draft()
    at.client.before["send_usage"] = lambda: at.finalize(draft.id)


EXAMPLE: dict[str, tuple[str, Before]] = {
    "the period is open": ("nets out with 7 leads that were delivered since", nothing),
    "the invoice is a draft": ("negative event", drafted),
    "the invoice is final and unpaid": ("credit note that lowers what is open", unpaid),
    "the invoice is paid": ("credit note that becomes credit for the next invoice", paid),
    "there is no invoice": ("credit on the customer's balance", nothing),
    "the invoice becomes final just before the event": ("falls through to a credit note", closing),
    "the payment is disputed": ("held: the refund parks", disputed),
}


async def example(at: Till, title: str, monkeypatch: pytest.MonkeyPatch) -> str:
    what, before = EXAMPLE[title]
    period = at.period
    if title == "the period is open":
        query = "SELECT billing_anchor FROM tenants WHERE tenant_id = 'acme'"
        period = await at.world.admin.fetchval(query)
    usage = await at.sold(10, period=period)
    await before(at)
    if title == "the period is open":
        await at.world.usage("acme", 7, period=period)
    if title == "there is no invoice":
        monkeypatch.setenv("LEADSAGA_INVOICE_GRACE", "0")
    calls = await at.admin.calls("stripe.*")
    refund = await at.refund(usage, 4)
    await at.flush()
    made = [call for call in await at.admin.calls("stripe.*", calls[-1]["seq"]) if call["method"] == "POST"]
    lines = [f"{title}: {what}", *(f"  {_call(call)}" for call in made if "finalize" not in call["path"])]
    lines += [f"  step:   {await _stored(at, refund)}", f"  Stripe: {await _stands(at)}"]
    return _plain("\n".join(lines))


def _call(call: dict[str, str]) -> str:
    fields = [
        f"{name}={value}"
        for name, value in parse_qsl(call["body"])
        if name not in {"timestamp", "description"}
    ]
    return f"{call['method']} {call['path'].removeprefix('/stripe')} {' '.join(fields)}"


async def _stored(at: Till, refund: Command) -> str:
    match at.answer(refund):
        case Done():
            return "done, " + ", ".join(
                f"{name} {value}" for name, value in (await at.outside(refund)).items()
            )
        case Rejected(reason=reason):
            return f"rejected, {reason}"
        case other:
            raise AssertionError(other)


async def _stands(at: Till) -> str:
    invoices = (await at.sdk.v1.invoices.list_async({"customer": at.customer})).data
    found = [f"the meter counts {await at.told()} leads"]
    found += [
        f"{each.id} is {each.status}, {each.amount_remaining} of {each.total} open" for each in invoices
    ]
    return "; ".join([*found, f"balance {await at.balance()}"])


def _plain(text: str) -> str:
    """Ids are random: what is left is their kind."""
    return UUID.sub("...", LONG.sub(r"\1_...", text))


@pytest.mark.parametrize("title", EXAMPLE)
async def test_each_example_of_the_page_is_what_happens(
    at: Till, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, page = await example(at, title, monkeypatch), PAGE.read_text(encoding="utf-8")
    if os.environ.get("WRITE_BILLING_PAGE"):
        kept = {part.partition(":")[0]: part for part in _examples(page)}
        parts = [{**kept, title: shown}[name] for name in EXAMPLE if name in {*kept, title}]
        block = "```text\n" + "\n\n".join(parts) + "\n```\n"
        PAGE.write_text(EXAMPLES.sub(lambda found: found[1] + block + found[2], page), encoding="utf-8")
    assert shown in _examples(PAGE.read_text(encoding="utf-8"))


def _examples(page: str) -> list[str]:
    found = EXAMPLES.search(page)
    assert found is not None
    text = found[0].removeprefix(found[1]).removesuffix(found[2]).strip()
    return [part for part in text.removeprefix("```text\n").removesuffix("\n```").split("\n\n") if part]
