"""What the toy steps keep, in the very records that the checker reads. They stand for the tables of the real
steps, and refuse what those refuse."""

from dataclasses import dataclass, field, fields, replace
from uuid import UUID

from contracts.messages import Command
from orchestrator.store.port import SagaKey
from tests.kit.history.records import Hold, IntentRow, LedgerRow, Notice, Quota


class Refused(Exception):
    """A constraint of the database is violated."""


def key_of(command: Command) -> SagaKey:
    return command.tenant_id, command.saga_id


@dataclass(slots=True)
class Books:
    plans: dict[str, int] = field(default_factory=dict)
    """Leads that each tenant may use."""
    quotas: dict[str, Quota] = field(default_factory=dict)
    holds: dict[SagaKey, Hold] = field(default_factory=dict)
    drafts: dict[SagaKey, int] = field(default_factory=dict)
    visible: dict[SagaKey, int] = field(default_factory=dict)
    ledger: dict[UUID, LedgerRow] = field(default_factory=dict)
    carriers: dict[UUID, UUID] = field(default_factory=dict)
    """Intents by the ledger row that they carry."""
    intents: dict[UUID, IntentRow] = field(default_factory=dict)
    claims: dict[UUID, tuple[str, float]] = field(default_factory=dict)
    """Who sends an intent, and until when nobody else may."""
    notices: dict[tuple[SagaKey, str], Notice] = field(default_factory=dict)
    begun: dict[tuple[SagaKey, str], float] = field(default_factory=dict)
    """When a notice began to be said."""

    def copy(self) -> "Books":
        return Books(*(dict(getattr(self, each.name)) for each in fields(self)))

    def open_account(self, tenant_id: str, leads: int) -> None:
        self.plans[tenant_id] = leads
        self.quotas[tenant_id] = Quota(tenant_id=tenant_id, used=0, held=0)

    def free(self, tenant_id: str) -> int:
        quota = self.quotas[tenant_id]
        return self.plans[tenant_id] - quota.used - quota.held

    def _count(self, tenant_id: str, *, used: int = 0, held: int = 0) -> None:
        quota = self.quotas[tenant_id]
        self.quotas[tenant_id] = replace(quota, used=quota.used + used, held=quota.held + held)

    def hold(self, key: SagaKey, leads: int) -> None:
        if key in self.holds:
            raise Refused
        self.holds[key] = Hold(key=key, leads=leads, state="held")
        self._count(key[0], held=leads)

    def release(self, key: SagaKey) -> None:
        hold = self.holds.get(key)
        if hold is not None and hold.state == "held":
            self.holds[key] = replace(hold, state="released")
            self._count(key[0], held=-hold.leads)

    def deliver(self, key: SagaKey, ledger_id: UUID, request_id: str, most: int) -> int:
        """Drafts become visible and are counted; how many."""
        leads = min(self.drafts.pop(key, 0), most)
        if leads:
            self.visible[key] = self.visible.get(key, 0) + leads
            row = LedgerRow(key=key, ledger_id=ledger_id, request_id=request_id, kind="usage", leads=leads)
            self._enter(row)
            hold = self.holds.get(key)
            if hold is not None and hold.state == "held":
                self.holds[key] = replace(hold, state="settled")
                self._count(key[0], held=-hold.leads, used=leads)
        return leads

    def usage_of(self, tenant_id: str, request_id: str) -> LedgerRow | None:
        return next(
            (
                row
                for row in self.ledger.values()
                if (row.key[0], row.request_id, row.kind) == (tenant_id, request_id, "usage")
            ),
            None,
        )

    def left_of(self, usage: LedgerRow) -> int:
        taken = sum(row.leads for row in self.ledger.values() if row.original_id == usage.ledger_id)
        return usage.leads + taken

    def give_back(self, key: SagaKey, ledger_id: UUID, usage: LedgerRow, leads: int) -> None:
        row = LedgerRow(
            key=key,
            ledger_id=ledger_id,
            request_id=usage.request_id,
            kind="reversal",
            leads=-leads,
            original_id=usage.ledger_id,
        )
        self._enter(row)
        hold = self.holds.get(usage.key)
        if hold is not None and hold.state == "settled":
            self._count(key[0], used=-leads)

    def _enter(self, row: LedgerRow) -> None:
        if any(each.key == row.key for each in self.ledger.values()):
            raise Refused
        self.ledger[row.ledger_id] = row

    def row_of(self, key: SagaKey) -> LedgerRow | None:
        return next((row for row in self.ledger.values() if row.key == key), None)

    def carrier_of(self, key: SagaKey) -> IntentRow | None:
        row = self.row_of(key)
        intent_id = self.carriers.get(row.ledger_id) if row is not None else None
        return None if intent_id is None else self.intents[intent_id]

    def tell(self, key: SagaKey, event: str) -> None:
        """Once for each saga and kind of event."""
        self.notices.setdefault((key, event), Notice(key=key, event=event, state="waiting"))
