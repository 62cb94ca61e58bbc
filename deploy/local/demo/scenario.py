"""Who asks for what, and what goes wrong. Every fault is ordered at the sandbox; our code knows of none."""

import json
from dataclasses import dataclass
from pathlib import Path

from contracts.requests import LeadRequested, RefundRequested
from deploy.sandbox.client import SandboxAdmin

REQUESTS = Path(__file__).parents[1] / "requests.jsonl"
PLANS = (("growth", "0.45", "eur", 500), ("starter", "0.60", "eur", 100))
EVENT_NAME = "leads_delivered"


@dataclass(frozen=True, slots=True)
class Tenant:
    tenant_id: str
    name: str
    plan: str
    webhook: str
    """Id of its Discord webhook at the sandbox."""
    known_to_stripe: bool = True


TENANTS = (
    Tenant("acme", "Acme Freight Software", "growth", "1001"),
    Tenant("nordwind", "Nordwind Vertrieb GmbH", "growth", "1002"),
    Tenant("lumiere", "Lumière Conseil", "starter", "1003"),
)
ORPHAN = Tenant("paperclip", "Paperclip & Sons", "growth", "1004", known_to_stripe=False)
"""Set up by mistake with a customer id that Stripe does not know."""

WEBHOOK_TOKEN = "only-for-the-sandbox"  # noqa: S105 - a webhook of the sandbox, gone with it
DISCORD_DOWN = "1002"
SILENT_TOPIC = "Antarctica"
"""For a request about this the model never answers in time."""

REFUND = RefundRequested(
    tenant_id="acme",
    refund_id="refund-acme-001",
    request_id="acme-001",
    leads=3,
    reason="three of the companies have closed",
    requested_by="support@acme.example",
)


def lead_requests() -> list[LeadRequested]:
    lines = REQUESTS.read_text(encoding="utf-8").splitlines()
    return [LeadRequested.model_validate(json.loads(line)) for line in lines if line.strip()]


async def order_faults(admin: SandboxAdmin, *, model_timeout: float) -> None:
    await admin.fault("anthropic.messages", match=SILENT_TOPIC, delay_seconds=model_timeout * 4)
    await admin.fault("discord.webhook", match=f"/webhooks/{DISCORD_DOWN}/", status=429, retry_after=1.0)
    # One passing trouble for everybody: the first call for this topic meets an overloaded model.
    await admin.fault("anthropic.messages", match="breweries", status=529, times=1)
    # The first usage report arrives, but its answer is lost: it is sent again, and counts once.
    await admin.fault("stripe.meter_events", drop="after", times=1)


async def register_webhooks(admin: SandboxAdmin) -> None:
    for tenant in (*TENANTS, ORPHAN):
        await admin.register_webhook(tenant.webhook, WEBHOOK_TOKEN)


def webhook_url(sandbox: str, tenant: Tenant) -> str:
    return f"{sandbox}/discord/api/webhooks/{tenant.webhook}/{WEBHOOK_TOKEN}"
