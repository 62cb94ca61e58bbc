"""What the processes run: put together as the real ones are, on simulated services."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.bus.consume import Ears
from orchestrator.bus.publish import bundle_bounds, publisher_of
from orchestrator.bus.replay import republisher_of
from orchestrator.run.chores import Chores
from orchestrator.run.loop import Loop
from orchestrator.run.work import Surroundings
from orchestrator.sagas import REGISTERED
from steps.runtime.consume import Consumer
from steps.runtime.process import JobWorker, _repeat
from tests.simulation.broker import NAMES
from tests.simulation.databases import SimulatedDatabase, SimulatedMemory, SimulatedStore
from tests.simulation.processes import Process
from tests.simulation.publisher import SimulatedPublisher
from tests.simulation.toys import steps_of

if TYPE_CHECKING:
    from uuid import UUID

    from tests.simulation.world import World

QUEUES = list(dict.fromkeys(queue for saga in REGISTERED for queue in saga.queues()))
BOUNDS = bundle_bounds(REGISTERED)
LISTENERS = {"notify_discord": ("failed", "parked")}

GROUPS = 2
TICK = 0.5


def orchestrator(world: "World", process: Process) -> None:
    around = Surroundings(
        store=SimulatedStore(process, world.store, world.server),
        sagas=world.sagas,
        clock=world.loop.now,
        draw=world.chance.random,
        new_id=world.new_id,
        limit=world.scenario.limit,
    )
    confirmed = list["UUID"]()
    publisher = SimulatedPublisher(process, world.broker)
    publish = publisher_of(publisher, NAMES, BOUNDS, confirmed.extend)
    loop, front = (Loop(around, publish, lambda _: None) for _ in range(2))
    republish = republisher_of(publisher, NAMES, QUEUES)
    chores = Chores(loop, TICK, lambda _: None, confirmed, republish=republish)
    process.keep(front.run, "front")
    for _ in range(GROUPS):
        process.keep(loop.run, "loop")
    process.keep(chores.run, "chores")
    world.broker.subscribe(process, Ears(loop, front, NAMES).subscriptions(QUEUES))


def stepper(world: "World", process: Process) -> None:
    memory = SimulatedMemory(process, world.memory, world.server)
    database, alone = SimulatedDatabase(memory), asyncio.Lock()
    publisher = SimulatedPublisher(process, world.broker)
    for step in steps_of(world):
        consumer = Consumer(step, NAMES, memory, publisher, world.vendors, alone=alone)
        if step.job is not None:
            worker = JobWorker(consumer, database, 1.0, visits=1, stopping=process.stopping)
            process.keep(partial(_repeat, worker), f"job of {step.name}")
        world.broker.subscribe(process, consumer.subscriptions())
