"""The lead saga: from a request to leads that were delivered, counted and billed."""

from contracts.requests import LeadRequested
from orchestrator.core.definition import Saga, best_effort, compensatable, per_lead, pivot, retriable
from orchestrator.core.durations import hours, millis, minutes, seconds
from orchestrator.core.retry import Retry

LEDGER = Retry(attempts=8, first=millis(200), ceiling=seconds(10), budget=minutes(5))
MODEL_API = Retry(attempts=3, first=seconds(2), ceiling=minutes(1), budget=minutes(30))
CHAT = Retry(attempts=3, first=seconds(1), ceiling=seconds(10), budget=minutes(1))

# fmt: off
LEAD = Saga(name="lead", version=1, begins_with=LeadRequested, deadline=hours(24), steps=(
    compensatable("reserve_quota",  undo="release_quota", retry=LEDGER,    timeout=seconds(10)),
    compensatable("generate_leads", undo="discard_leads", retry=MODEL_API, timeout=per_lead(seconds(2), base=minutes(1)), bundle=1),
    pivot        ("record_usage",                         retry=LEDGER,    timeout=seconds(10)),
    retriable    ("report_to_stripe", answered_by="flush"),
    best_effort  ("notify_discord",                       retry=CHAT,      timeout=seconds(10)),
))
# fmt: on
