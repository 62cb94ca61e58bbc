"""Telling the tenant: a notice is written with the answer, and said later, at most once."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from contracts.errors import StepTransient
from contracts.events import Event
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.effects_memory import Tables
from steps.runtime.step import Worker
from tests.kit.history.records import Notice
from tests.simulation.books import Books, key_of

if TYPE_CHECKING:
    from tests.simulation.world import World

EVERY = 1.0
GIVE_UP = 2.0
"""Seconds until a notice that somebody began to say counts as one of which nobody knows."""


def notify(_world: "World", books: Books, command: Command) -> Outcome:
    books.tell(key_of(command), "completed")
    return Done()


async def hear(tables: Tables, event: Event) -> None:
    if event.saga_id is not None:
        tables.content.tell((event.tenant_id, event.saga_id), event.event)


class Telling:
    def __init__(self, world: "World") -> None:
        self._world = world

    async def __call__(self, worker: Worker) -> None:
        if any(
            notice.state in {"waiting", "sending"}
            for notice in self._world.memory.tables.content.notices.values()
        ):
            for notice in await self._claim(worker):
                await self._say(worker, notice)
        await worker.wake(EVERY)

    async def ended(self) -> None:
        pass

    async def _claim(self, worker: Worker) -> list[Notice]:
        """Marked before anything is said."""
        now, claimed = self._world.loop.time(), list[Notice]()
        async with worker.database.transaction(name="notices.claim") as tables:
            books: Books = tables.content
            for name, notice in list(books.notices.items()):
                if notice.state == "waiting":
                    books.notices[name] = replace(notice, state="sending")
                    books.begun[name] = now
                    claimed.append(notice)
                elif notice.state == "sending" and books.begun[name] + GIVE_UP <= now:
                    books.notices[name] = replace(notice, state="unknown")
        return claimed

    async def _say(self, worker: Worker, notice: Notice) -> None:
        state: Any = "sent"
        try:
            async with asyncio.timeout(GIVE_UP / 4):
                await worker.client.say(notice.key, notice.event)
        except StepTransient:
            state = "waiting"
        except Exception:  # noqa: BLE001 - nobody knows
            state = "unknown"
        async with worker.database.transaction(name="notices.said") as tables:
            name = notice.key, notice.event
            if tables.content.notices[name].state == "sending":
                tables.content.notices[name] = replace(notice, state=state)
