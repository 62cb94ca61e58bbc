"""The tenant's quota: what is promised is promised to live sagas, and the sums are right."""

from collections import Counter
from collections.abc import Iterator

from orchestrator.core.state import ENDED
from tests.kit.history.records import History
from tests.kit.history.violation import Finding


def ended_sagas_hold_nothing(history: History) -> Iterator[Finding]:
    for hold in history.holds or ():
        saga = history.by_key.get(hold.key)
        if hold.state == "held" and (saga is None or saga.status in ENDED):
            status = "unknown" if saga is None else saga.status
            yield hold.key, f"it holds {hold.leads} leads of the quota, and is {status}"


def quota_adds_up(history: History) -> Iterator[Finding]:
    """Held: the holds of live sagas. Used: what was delivered on a hold of the period, less what was given
    back of it."""
    if history.holds is None or history.quotas is None or history.ledger is None:
        return
    held: Counter[tuple[str, str]] = Counter()
    used: Counter[tuple[str, str]] = Counter()
    delivered: Counter[object] = Counter()
    for row in history.ledger:
        origin = row.original_id or row.ledger_id
        delivered[row.key[0], origin] += row.leads
    net = {row.key: delivered[row.key[0], row.ledger_id] for row in history.ledger if row.kind == "usage"}
    for hold in history.holds:
        period = hold.key[0], hold.period
        held[period] += hold.leads if hold.state == "held" else 0
        used[period] += net.get(hold.key, 0) if hold.state == "settled" else 0
    for quota in history.quotas:
        key = quota.tenant_id, quota.period
        if quota.held != held[key]:
            yield quota.tenant_id, f"{quota.held} leads count as held, the holds say {held[key]}"
        if quota.used != used[key]:
            yield quota.tenant_id, f"{quota.used} leads count as used, the ledger says {used[key]}"


def usage_settles_its_hold(history: History) -> Iterator[Finding]:
    """What was delivered is not promised any more, and was promised before."""
    if history.holds is None:
        return
    for row in history.ledger or ():
        hold = history.hold_of.get(row.key)
        if row.kind == "usage" and (hold is None or hold.state != "settled" or hold.leads < row.leads):
            kept = "none" if hold is None else f"{hold.leads} leads, {hold.state}"
            yield row.key, f"{row.leads} leads were delivered on a hold of {kept}"


RULES = (ended_sagas_hold_nothing, quota_adds_up, usage_settles_its_hold)
