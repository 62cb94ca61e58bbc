"""The saga that adds a tenant: known here, with an account at Stripe, and active; or none of it."""

from contracts.requests import TenantRequested
from orchestrator.core.definition import Saga, best_effort, compensatable, pivot
from orchestrator.core.durations import hours, minutes, seconds
from orchestrator.core.retry import Retry
from orchestrator.sagas.lead import CHAT, LEDGER

STRIPE = Retry(attempts=8, first=seconds(1), ceiling=minutes(1), budget=minutes(30))

# fmt: off
PROVISION_TENANT = Saga(name="provision_tenant", version=1, begins_with=TenantRequested, deadline=hours(24), completes_as="provisioned", steps=(
    compensatable("store_tenant",    undo="remove_tenant", retry=LEDGER, timeout=seconds(10)),
    compensatable("open_account",    undo="close_account", retry=STRIPE, timeout=minutes(2), bundle=1),
    compensatable("seed_flags",      undo="clear_flags",   retry=LEDGER, timeout=seconds(10)),
    pivot        ("activate_tenant",                       retry=LEDGER, timeout=seconds(10)),
    best_effort  ("welcome_tenant",                        retry=CHAT,   timeout=seconds(10)),
))
# fmt: on
