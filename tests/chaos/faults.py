"""What goes wrong at the vendors, by chance: each fault hits a share of the calls of its route."""

from typing import Any

from deploy.sandbox.client import SandboxAdmin
from tests.kit.system import UNKNOWN_CUSTOMER

MODEL = "anthropic.messages"
METER = "stripe.meter_events"
CHAT = "discord.webhook"
CALL_SECONDS = 2.0
"""The limit of every vendor call in a run."""
TOO_LATE = CALL_SECONDS + 1.0

FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    (MODEL, 0.005, {"delay_seconds": TOO_LATE}),
    (MODEL, 0.02, {"status": 429, "retry_after": 0.2}),
    (MODEL, 0.02, {"status": 529}),
    (MODEL, 0.01, {"drop": "before"}),
    (MODEL, 0.01, {"drop": "after"}),
    (MODEL, 0.01, {"text": "I would rather not say."}),
    (MODEL, 0.01, {"text": '{"leads": [{"company": ""}, 7]}'}),
    (MODEL, 0.005, {"stop_reason": "refusal"}),
    (METER, 0.01, {"delay_seconds": TOO_LATE}),
    (METER, 0.03, {"status": 429, "retry_after": 0.1}),
    (METER, 0.03, {"status": 500}),
    (METER, 0.03, {"status": 500, "effect": True}),
    (METER, 0.03, {"status": 503}),
    (METER, 0.03, {"drop": "before"}),
    (METER, 0.03, {"drop": "after"}),
    (CHAT, 0.01, {"delay_seconds": TOO_LATE}),
    (CHAT, 0.03, {"status": 429, "retry_after": 0.1}),
    (CHAT, 0.03, {"status": 500, "effect": True}),
    (CHAT, 0.03, {"status": 503}),
    (CHAT, 0.02, {"drop": "before"}),
    (CHAT, 0.02, {"drop": "after"}),
)


async def order_faults(admin: SandboxAdmin, seed: int) -> None:
    """The same calls in the same order meet the same faults."""
    # A send to an unknown customer that was once in doubt is never proved refused: it is tried until Stripe
    # may have forgotten its identifier, which takes longer than any run. So this customer's calls meet no
    # doubt: the oldest fault wins, and this one does no harm.
    await admin.fault(METER, match=UNKNOWN_CUSTOMER, delay_seconds=0.001)
    for number, (route, probability, details) in enumerate(FAULTS):
        await admin.fault(route, probability=probability, seed=seed * 1000 + number, **details)
