"""What the steps keep of one saga, line by line."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a step keeps of its work. `outside`: ids in outside worlds; `owed`: an answer is still to come."""

    step: str
    direction: str
    state: str
    attempt: int
    answered: int
    answer: dict[str, Any] | None
    owed: bool
    outside: dict[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One ledger row and the send to Stripe, or the credit, that carries it; without `intent`, its state,
    none was planned yet. `credited`: money that a credit gives back, tax included, in the smallest unit."""

    ledger_id: UUID
    saga_id: UUID
    kind: str
    leads: int
    unit_price: Decimal
    currency: str
    period_start: datetime
    occurred_at: datetime
    actor: str
    reason: str
    intent_id: UUID | None
    identifier: str | None
    intent: str | None
    intent_value: int | None
    intent_error: str | None
    instrument: str | None
    invoice: str | None
    credited: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLine:
    event: str
    title: str
    state: str
    attempts: int
    error: str | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """All calls to the model for a saga; `cost_usd` leaves out the `unpriced` ones."""

    calls: int
    answered: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallLine:
    """One call to the model, for one part of the request. While its outcome is 'begun' nobody knows more:
    what may be None is. A known end without `cost_usd` has no known price."""

    call_id: UUID
    part: int
    attempt: int
    outcome: str
    error: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    seconds: Decimal | None
    provider_id: str | None
    leads: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BuriedLine:
    dead_letter_id: UUID
    queue: str
    attempt: int | None
    error: str
    reason: str
    status: str
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    kind: str
    verdict: str | None
    actor: str
    reason: str
    created_at: datetime
    result: str | None
