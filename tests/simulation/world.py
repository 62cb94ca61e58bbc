"""One world: everything of one seed, from the first request until nothing is due any more."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

from orchestrator.core.state import ENDED
from orchestrator.sagas import REGISTERED
from orchestrator.store.memory import MemoryStore
from orchestrator.store.port import Change, SagaKey
from steps.runtime.effects_memory import VolatileMemory
from tests.simulation.books import Books
from tests.simulation.broker import Broker
from tests.simulation.clock import VirtualLoop
from tests.simulation.databases import Server
from tests.simulation.definitions import quick
from tests.simulation.operators import Operators
from tests.simulation.processes import Process, owned
from tests.simulation.promises import Watch, check_drafts, check_mended, check_poison, check_sends
from tests.simulation.roles import LISTENERS, orchestrator, stepper
from tests.simulation.scenario import Blow, scenario
from tests.simulation.trace import Trace, told
from tests.simulation.upstream import Upstream
from tests.simulation.vendors import Vendors
from tests.simulation.weather import CALM, forecast

PATIENCE = 900.0
"""Seconds after the last trouble until everything must have come to rest."""


class World:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.loop = loop
        self.trace = Trace(loop)
        self.chance = Random(seed)
        self.weather = forecast(self.chance)
        self.scenario = scenario(self.chance)
        self.sagas = {(saga.name, saga.version): quick(saga, self.scenario.deadline) for saga in REGISTERED}
        self.watch = Watch(self)
        self.findings: list[tuple[str, str]] = []
        self.crashes, self.stops = 0, 0
        """Ends of processes, sudden and orderly ones."""
        self.victims: Counter[tuple[Any, ...]] = Counter()
        """How many processes an attempt of a poisonous command has killed."""
        self.stormy = True
        self._ids = 0
        self._crashes_left = self.scenario.crashes
        self.store = MemoryStore(loop.now, versions=self.sagas)
        self.memory = VolatileMemory(Books(), loop.now, lambda *key: key in self.rows())
        self.server = Server()
        self.vendors = Vendors(self, refused=set(self.scenario.refused))
        self.upstream = Upstream(self)
        self.operators = Operators(self)
        self.broker = Broker(self, LISTENERS)
        self.processes: dict[str, Process] = {}
        self._starts: dict[str, Any] = {}

    # what everything in it asks for

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    def lag(self) -> float:
        draw = self.chance.random()
        if draw < 0.5:
            return 0.0
        if self.chance.random() < self.weather.slow / 4:
            return draw
        return draw * self.weather.lag

    def strikes(self) -> bool:
        if self._crashes_left and self.chance.random() < self.weather.crash:
            self._crashes_left -= 1
            return True
        return False

    def finds(self, rule: str, what: str) -> None:
        """A promise was seen broken at this moment."""
        self.trace.say("FOUND", rule, what)
        self.findings.append((rule, what))

    def rows(self) -> Mapping[SagaKey, Any]:
        return self.store._tables.sagas

    def appended(self, process: Process, changes: Sequence[Change]) -> None:
        for change in changes:
            self.watch.appended(change)
            kinds = [told(entry) for entry in change.entries]
            self.trace.say(process.name, "commits", change.before.saga, change.before.key[1].int, *kinds)

    # its life

    async def live(self) -> None:
        self.loop.set_task_factory(owned)
        self._begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.upstream.ask(self.scenario.asks))
            group.create_task(self.operators.work())
            group.create_task(self._blows())
            await asyncio.sleep(self.scenario.storm)
            self._calm_down()
        await self._rest()
        if self.scenario.mends:
            for _ in range(2):
                await self.operators.replay_all()
                await self._rest()
            check_mended(self)
        check_drafts(self)
        check_sends(self)
        check_poison(self)

    def _begin(self) -> None:
        for tenant_id, quota in self.scenario.tenants.items():
            self.store.add_tenant(tenant_id, sagas_in_flight=self.scenario.room)
            self.memory.tables.content.open_account(tenant_id, quota)
        for number in range(self.scenario.orchestrators):
            self._run(f"orchestrator {number}", orchestrator)
        for number in range(self.scenario.steppers):
            self._run(f"steps {number}", stepper)

    def _run(self, name: str, start: Any) -> None:
        process = Process(self, name)
        process.ends = [lambda: self._died(process)]
        self.processes[name] = process
        self._starts[name] = start
        start(self, process)

    def _died(self, process: Process) -> None:
        """Its supervisor starts it again."""
        self.broker.lose(process)
        self.loop.call_later(
            self.chance.uniform(0.02, 1.0), self._run, process.name, self._starts[process.name]
        )

    async def _blows(self) -> None:
        for at, kind, lasts in self.scenario.blows:
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            self._blow(kind, lasts)

    def _blow(self, kind: Blow, lasts: float) -> None:
        process = self.chance.choice([self.processes[name] for name in sorted(self.processes)])
        match kind:
            case "database":
                self.server.up = False
                self.trace.say("database", "is away")
                self.loop.call_later(lasts, self._database_back)
            case "broker":
                self.broker.fail()
                self.loop.call_later(lasts, self.broker.recover)
            case "kill":
                process.kill("any moment")
            case "cut":
                self.broker.cut(process)
            case "restart":
                self.loop.create_task(self._restart(process, lasts))

    async def _restart(self, process: Process, grace: float) -> None:
        self.trace.say(process.name, "is asked to stop")
        await self.broker.drain(process, grace)
        if process.alive:
            self.stops += 1
            process.end()

    def _database_back(self) -> None:
        self.trace.say("database", "is back")
        self.server.up = True

    def _calm_down(self) -> None:
        self.trace.say("weather", "is calm from now on")
        self.weather = CALM
        self.stormy = False
        self._crashes_left = 0

    async def _rest(self) -> None:
        until = self.loop.time() + PATIENCE
        while left := self._left():
            if self.loop.time() > until:
                self.finds("everything_comes_to_rest", f"still there: {', '.join(left)}")
                return
            await asyncio.sleep(0.5)

    def _left(self) -> list[str]:
        """What is still to be done, by anybody."""
        tables, steps = self.store._tables, self.memory.tables
        books: Books = steps.content
        at_work = {
            "messages": not self.broker.idle,
            "sagas": any(row.status not in ENDED | {"parked"} for row in tables.sagas.values()),
            "events": bool(tables.events),
            "orders": any(result is None for _, result in tables.orders.values()),
            "answers": any(row.effect.owed for row in steps.effects.values()),
            "usage": len(books.ledger) > len(books.carriers),
            "sends": any(intent.state in {"pending", "sending"} for intent in books.intents.values()),
            "notices": any(notice.state in {"waiting", "sending"} for notice in books.notices.values()),
        }
        return [what for what, is_left in at_work.items() if is_left]
