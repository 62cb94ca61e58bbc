"""Telling the payment provider: commands are owed an answer, and a job gives it once the send is settled."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.errors import StepRejected, StepTransient
from contracts.messages import Command, Reply
from contracts.outcomes import Done, Outcome, Rejected
from orchestrator.store.port import SagaKey
from steps.runtime.effects_memory import EffectKey, Tables
from steps.runtime.step import OWING, Owing, Worker
from tests.kit.history.records import IntentRow
from tests.simulation.books import Books, key_of
from tests.simulation.processes import CURRENT

if TYPE_CHECKING:
    from tests.simulation.world import World

SAGAS = {"report_to_stripe": "lead", "refund_at_stripe": "refund"}
EVERY = 0.5
LOOK = 2.0
CLAIM = 1.5
"""Seconds for which only one process sends an intent."""


def report(_world: "World", books: Books, command: Command) -> Outcome | Owing:
    key = key_of(command)
    if books.row_of(key) is None:
        return Rejected(reason="the ledger has no usage of this saga", error="NoUsage")
    intent = books.carrier_of(key)
    if intent is not None and intent.state == "confirmed":
        return _told(intent)
    if intent is not None and intent.state == "rejected":
        books.intents[intent.intent_id] = replace(intent, state="pending")  # it is asked for again
    return OWING


def _told(intent: IntentRow) -> Done:
    return Done(
        facts={"intent_id": str(intent.intent_id), "identifier": intent.identifier, "sent": intent.value}
    )


class Flush:
    """Safe to break off anywhere, and to run in two processes at once."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def __call__(self, worker: Worker) -> None:
        for intent in await self._plan(worker):
            await self._send(worker, intent)
        await self._commit(worker)
        while await self._publish(worker):
            pass
        await worker.wake(EVERY if self._open() else LOOK)

    async def ended(self) -> None:
        pass

    def _open(self) -> bool:
        tables = self._world.memory.tables
        return any(row.effect.owed for row in tables.effects.values())

    async def _plan(self, worker: Worker) -> list[IntentRow]:
        """What has no carrier gets one, together with all else of its tenant; what is open is claimed."""
        if not (self._open() or self._uncarried()):
            return []
        now, me = self._world.loop.time(), CURRENT.get().name
        async with worker.database.transaction(name="flush.plan") as tables:
            books: Books = tables.content
            for tenant_id in books.plans:
                rows = [
                    row
                    for row in books.ledger.values()
                    if row.key[0] == tenant_id and row.ledger_id not in books.carriers
                ]
                if rows:
                    self._intend(books, tenant_id, rows)
            claimed = list[IntentRow]()
            for intent in books.intents.values():
                _, until = books.claims.get(intent.intent_id, ("", 0.0))
                if intent.state in {"pending", "sending"} and until <= now:
                    books.claims[intent.intent_id] = me, now + CLAIM
                    claimed.append(intent)
            for intent in claimed:
                books.intents[intent.intent_id] = replace(intent, state="sending")
        return claimed

    def _uncarried(self) -> bool:
        books: Any = self._world.memory.tables.content
        return len(books.ledger) > len(books.carriers) or any(
            intent.state in {"pending", "sending"} for intent in books.intents.values()
        )

    def _intend(self, books: Books, tenant_id: str, rows: list[Any]) -> None:
        value, intent_id = sum(row.leads for row in rows), self._world.new_id()
        books.intents[intent_id] = IntentRow(
            tenant_id=tenant_id,
            intent_id=intent_id,
            identifier=str(intent_id),
            customer=tenant_id,
            value=value,
            state="pending" if value else "confirmed",
        )
        books.carriers |= {row.ledger_id: intent_id for row in rows}

    async def _send(self, worker: Worker, intent: IntentRow) -> None:
        try:
            async with asyncio.timeout(CLAIM):
                await worker.client.count(intent.customer, intent.identifier, intent.value)
        except StepRejected:
            await self._settle(worker, intent.intent_id, "rejected")
        except StepTransient:
            await self._settle(worker, intent.intent_id, "pending")
        except Exception:  # noqa: BLE001 - nobody knows: the same identifier is sent again
            return
        else:
            await self._settle(worker, intent.intent_id, "confirmed")

    async def _settle(self, worker: Worker, intent_id: UUID, state: Any) -> None:
        me = CURRENT.get().name
        async with worker.database.transaction(name="flush.settle") as tables:
            books: Books = tables.content
            mine = books.claims.get(intent_id, ("", 0.0))[0] == me
            known = books.intents[intent_id]
            if state == "confirmed" or (mine and known.state == "sending"):
                books.intents[intent_id] = replace(known, state=state)
            if mine:
                del books.claims[intent_id]

    async def _commit(self, worker: Worker) -> None:
        """Answers are committed first."""
        if not self._open():
            return
        async with worker.database.transaction(name="flush.answers") as tables:
            for key, row in list(tables.effects.items()):
                effect = row.effect
                if not effect.owed or effect.attempt <= effect.answered or effect.state != "open":
                    continue
                answer = _answer(tables, (key[0], key[1]))
                if answer is not None:
                    state = "done" if isinstance(answer, Done) else effect.state
                    answered = replace(effect, answered=effect.attempt, answer=answer, state=state)
                    tables.effects[key] = replace(row, effect=answered)

    async def _publish(self, worker: Worker) -> bool:
        """And owed until they are confirmed."""
        rows = self._world.memory.tables.effects
        owed = {
            key: row.effect
            for key, row in rows.items()
            if row.effect.owed and row.effect.attempt == row.effect.answered
        }
        if not owed:
            return False
        await worker.answer([_reply(key, effect) for key, effect in owed.items()])
        async with worker.database.transaction(name="flush.published") as tables:
            for key, effect in owed.items():
                row = tables.effects[key]
                if row.effect.attempt == row.effect.answered == effect.attempt:
                    tables.effects[key] = replace(row, effect=replace(row.effect, owed=False))
        return True


def _answer(tables: Tables, key: SagaKey) -> Outcome | None:
    intent = tables.content.carrier_of(key)
    match intent and intent.state:
        case "confirmed":
            return _told(intent)
        case "rejected":
            return Rejected(reason="the vendor was not told", error="StripeRejected")
        case _:
            return None


def _reply(key: EffectKey, effect: Any) -> Reply:
    tenant_id, saga_id, step, direction = key
    return Reply(
        tenant_id=tenant_id,
        saga_id=saga_id,
        saga=SAGAS[step],
        step=step,
        direction=direction,
        attempt=effect.attempt,
        outcome=effect.answer,
    )
