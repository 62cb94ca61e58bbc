"""What tenants read on Discord. Pure. What they or others wrote is made harmless and cut short here."""

from dataclasses import dataclass
from typing import Any, Literal

from contracts.events import Failed, Parked
from contracts.facts import TenantStored, UsageRecorded, UsageRefunded
from contracts.messages import Command
from contracts.requests import LeadRequested, RefundRequested
from steps.clients.discord import safe

EventName = Literal["completed", "failed", "parked", "refunded", "welcome"]

TITLE = 80
BODY = 500
"""Characters. Ten embeds of both stay below the 6,000 that Discord allows in all embeds of one message."""

COLORS: dict[str, int] = {
    "completed": 0x2E8B57,
    "failed": 0xB22222,
    "parked": 0xDAA520,
    "refunded": 0x4682B4,
    "welcome": 0x6A5ACD,
}


@dataclass(frozen=True, slots=True)
class Notice:
    event: EventName
    title: str
    body: str


def ended_well(command: Command) -> Notice:
    """Raises KeyError or pydantic.ValidationError when the command lacks what is to be told."""
    if command.saga == "refund":
        refunded, refund = command.fact(UsageRefunded), command.asked(RefundRequested)
        return _notice(
            "refunded",
            f"{_leads(refunded.leads)} refunded",
            f"Request {safe(refund.request_id, 120)}. Reason: {safe(refund.reason, 300)}",
        )
    delivered, asked = command.fact(UsageRecorded), command.asked(LeadRequested)
    return _notice(
        "completed",
        f"{_leads(delivered.leads)} delivered",
        f"Request {safe(command.request_id, 120)}: {delivered.leads} of {asked.leads} for "
        f"\N{LEFT DOUBLE QUOTATION MARK}{safe(asked.criteria, 250)}\N{RIGHT DOUBLE QUOTATION MARK}",
    )


def went_wrong(event: Failed | Parked) -> Notice:
    request = safe(event.request_id, 120)
    if isinstance(event, Failed):
        return _notice(
            "failed",
            "A request failed; nothing is charged",
            f"Request {request}: {safe(event.reason, 300)}",
        )
    return _notice(
        "parked",
        "A request needs our attention",
        f"Request {request} waits for one of us. Nothing is lost and nothing is charged twice.",
    )


def welcome(name: str, sold: TenantStored) -> Notice:
    price = f"{sold.price_per_lead.normalize():f} {sold.currency.upper()}"
    return _notice(
        "welcome",
        f"Welcome, {safe(name, 60)}",
        f"You may ask for leads as {sold.tenant_id}. Plan {sold.plan_id}: {sold.monthly_quota} a month, "
        f"{price} for each that is delivered.",
    )


def embed(event: str, title: str, body: str) -> dict[str, Any]:
    return {"title": title, "description": body, "color": COLORS[event]}


def _notice(event: EventName, title: str, body: str) -> Notice:
    return Notice(event, title[:TITLE], body[:BODY])


def _leads(count: int) -> str:
    return "1 lead" if count == 1 else f"{count} leads"
