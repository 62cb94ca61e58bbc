"""What upstream, operators and fate do in one history: drawn from the seed before it begins."""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from contracts.ids import Direction
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, Request

Blow = Literal["database", "broker", "kill", "cut", "restart"]

POISON: tuple[tuple[str, Direction], ...] = (
    ("reserve_quota", "do"),
    ("generate_leads", "do"),
    ("generate_leads", "do"),
    ("record_usage", "do"),
    ("report_to_stripe", "do"),
    ("generate_leads", "undo"),
)

PATIENTS: tuple[tuple[str, Direction], ...] = (
    ("reserve_quota", "undo"),
    ("generate_leads", "undo"),
    ("record_usage", "do"),
    ("record_usage", "do"),
    ("report_to_stripe", "do"),
    ("notify_discord", "do"),
    ("refund_usage", "do"),
)


@dataclass(frozen=True, slots=True)
class Ask:
    at: float
    request: Request | None
    """None: something that makes no sense."""


@dataclass(slots=True)
class Scenario:
    tenants: dict[str, int] = field(default_factory=dict)
    """Quota by tenant."""
    room: int = 50
    """Sagas of one tenant in flight."""
    limit: int = 100
    asks: list[Ask] = field(default_factory=list)
    blows: list[tuple[float, Blow, float]] = field(default_factory=list)
    """When, what, and for how long."""
    poison: dict[tuple[str, str, Direction], int] = field(default_factory=dict)
    """How often a command kills its process: by request, step and direction."""
    ill: dict[tuple[str, Direction], float] = field(default_factory=dict)
    """How likely a step fails, until somebody mends it."""
    refused: set[str] = field(default_factory=set)
    """Tenants that the payment provider does not know."""
    orchestrators: int = 1
    steppers: int = 1
    crashes: int = 0
    storm: float = 5.0
    """Seconds of trouble."""
    deadline: float = 900.0
    replays: float = 0.0
    """How likely an operator who looks replays what is parked."""
    resolves: float = 0.0
    cancels: float = 0.0
    mends: bool = False
    """In the end everything is mended, and what is parked is replayed."""


def scenario(chance: Random) -> Scenario:
    made = Scenario(
        tenants=dict.fromkeys(("acme", "globex")[: 1 + (chance.random() < 0.3)], chance.choice((4, 40, 200))),
        room=chance.choice((1, 2, 50, 50)),
        limit=chance.choice((1, 100, 100)),
        orchestrators=chance.choice((1, 1, 2)),
        steppers=chance.choice((1, 1, 2)),
        crashes=chance.choice((0, 2, 5, 8)),
        storm=chance.uniform(2, 8),
        deadline=chance.choice((900.0, 900.0, 900.0, chance.uniform(1, 6))),
        replays=chance.choice((0.0, 0.1, 0.5)),
        resolves=chance.choice((0.0, 0.0, 0.4)),
        cancels=chance.choice((0.0, 0.0, 0.05)),
        mends=chance.random() < 0.5,
    )
    if chance.random() < 0.25:
        made.ill[chance.choice(PATIENTS)] = chance.choice((0.5, 1.0))
    made.refused = {tenant for tenant in made.tenants if chance.random() < 0.05}
    for number in range(chance.choice((1, 1, 2, 2, 3))):
        _one_request(made, chance, f"r{number}")
    if chance.random() < 0.1:
        made.asks.append(Ask(chance.random(), None))
    if chance.random() < 0.05:
        made.asks.append(Ask(chance.random(), _lead("nobody", "r0", 1)))
    for _ in range(chance.choice((0, 0, 1, 2, 3))):
        kind: Blow = chance.choice(("database", "broker", "kill", "cut", "restart"))
        made.blows.append((chance.uniform(0, made.storm), kind, chance.uniform(0.1, 1.5)))
    made.asks.sort(key=lambda ask: ask.at)
    made.blows.sort()
    return made


def _one_request(made: Scenario, chance: Random, request_id: str) -> None:
    tenant, at = chance.choice(list(made.tenants)), chance.uniform(0, 1)
    leads = chance.choice((1, 2, 3, 4, 30))
    made.asks.append(Ask(at, _lead(tenant, request_id, leads)))
    if chance.random() < 0.3:
        made.asks.append(Ask(at + chance.uniform(0, 5), _lead(tenant, request_id, leads)))
    if chance.random() < 0.05:
        made.asks.append(Ask(at + chance.random(), _lead(tenant, request_id, leads + 1)))
    if chance.random() < 0.2:
        made.asks.append(Ask(at + chance.uniform(0, 4), _cancel(tenant, request_id)))
    if chance.random() < 0.4:
        for number in range(chance.choice((1, 1, 2))):
            some = chance.choice((None, 1, leads))
            made.asks.append(
                Ask(at + chance.uniform(0, 9), _refund(tenant, f"f{number}-{request_id}", request_id, some))
            )
    if chance.random() < 0.12:
        step, direction = chance.choice(POISON)
        made.poison[request_id, step, direction] = chance.choice((1, 2, 3, 4, 40))


def _lead(tenant: str, request_id: str, leads: int) -> LeadRequested:
    return LeadRequested(tenant_id=tenant, request_id=request_id, criteria="bakeries", leads=leads)


def _cancel(tenant: str, request_id: str) -> CancelRequested:
    return CancelRequested(tenant_id=tenant, request_id=request_id, reason="changed my mind")


def _refund(tenant: str, refund_id: str, request_id: str, leads: int | None) -> RefundRequested:
    return RefundRequested(
        tenant_id=tenant, refund_id=refund_id, request_id=request_id, leads=leads, reason="bounced"
    )
