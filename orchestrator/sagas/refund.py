"""The refund saga: give back what was billed for leads of one request, never more."""

from contracts.requests import RefundRequested
from orchestrator.core.definition import Saga, best_effort, pivot, retriable
from orchestrator.core.durations import hours, seconds
from orchestrator.sagas.lead import CHAT, LEDGER

# fmt: off
REFUND = Saga(name="refund", version=1, begins_with=RefundRequested, deadline=hours(24), completes_as="refunded", steps=(
    pivot        ("refund_usage",                         retry=LEDGER,    timeout=seconds(10)),
    retriable    ("refund_at_stripe", answered_by="flush"),
    best_effort  ("notify_discord",                       retry=CHAT,      timeout=seconds(10)),
))
# fmt: on
