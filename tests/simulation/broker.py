"""A broker that promises as little as a real one: every confirmed message at least once, in any order."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from contracts.names import REPLIES, REQUESTS, Names, heard_queue
from contracts.process.consuming import Subscription, read_delivery
from contracts.process.publishing import Outgoing
from tests.simulation.packets import Channel, Packet
from tests.simulation.processes import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMES = Names()

LONGEST = 3.0
"""Seconds that a slow message may be on its way."""


class Broker:
    """Topology as the system declares it: a dead-letter queue for each queue, one exchange for each kind."""

    def __init__(self, world: "World", listeners: Mapping[str, Sequence[str]]) -> None:
        """`listeners`: the events that a step wants to hear."""
        self.world = world
        self.up = True
        self.ready: dict[str, list[Packet]] = defaultdict(list)
        self.channels: dict[str, list[Channel]] = defaultdict(list)
        self.on_the_way: dict[int, Packet] = {}
        self.delivered = 0
        self.commands: list[bytes] = []
        """Bundles that the orchestrators published."""
        self.repeats = 0
        """How often something came again that may make an orchestrator send a command again."""
        self.cuts = 0
        self._numbers = 0
        self._listeners = listeners

    # what arrives

    def take(self, message: Outgoing) -> None:
        """The broker has it, and keeps it. Sometimes it has it twice."""
        chance, weather = self.world.chance, self.world.weather
        if message.exchange == NAMES.commands_exchange:
            self.commands.append(message.body)
        for queue in self._queues_of(message):
            copies = 2 if chance.random() < weather.duplicate else 1
            for _ in range(copies):
                self._enqueue(self._packet(queue, message))
        if message.exchange == NAMES.events_exchange:
            self.world.upstream.hear(message)

    def _queues_of(self, message: Outgoing) -> list[str]:
        match message.exchange:
            case NAMES.requests_exchange:
                return [REQUESTS]
            case NAMES.dead_exchange:
                return [NAMES.dead_queue(message.routing_key)]
            case NAMES.events_exchange:
                event = message.routing_key.partition(".")[2]
                return [heard_queue(step) for step, events in self._listeners.items() if event in events]
            case _:  # commands, replies, and what is sent to a queue by its name
                return [message.routing_key]

    def _packet(self, queue: str, message: Outgoing) -> Packet:
        self._numbers += 1
        message_id = message.message_id or f"m-{self._numbers}"
        return Packet(self._numbers, queue, message.body, message_id, message.routing_key, message.headers)

    def _enqueue(self, packet: Packet) -> None:
        chance, weather = self.world.chance, self.world.weather
        delay = chance.random() * (LONGEST if chance.random() < weather.slow else weather.lag)
        self.on_the_way[packet.number] = packet
        self.world.loop.call_later(delay, partial(self._arrive, packet))

    def _arrive(self, packet: Packet) -> None:
        del self.on_the_way[packet.number]
        self.ready[packet.queue].append(packet)
        self.pump(packet.queue)

    # what is delivered

    def subscribe(self, process: Process, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            self.channels[subscription.queue].append(Channel(process, subscription))
            self.pump(subscription.queue)

    def pump(self, queue: str) -> None:
        chance, waiting = self.world.chance, self.ready[queue]
        while waiting and self.up:
            free = [channel for channel in self.channels[queue] if channel.has_room]
            if not free:
                return
            overtakes = len(waiting) > 1 and chance.random() < self.world.weather.overtake
            packet = waiting.pop(chance.randrange(len(waiting)) if overtakes else 0)
            channel = free[0] if len(free) == 1 else chance.choice(free)
            channel.unacked[packet.number] = packet
            channel.handlers[packet.number] = channel.process.spawn(self._handle(channel, packet))

    async def _handle(self, channel: Channel, packet: Packet) -> None:
        """As FastStream does it: who returns acknowledges, who raises rejects, who is cancelled does
        neither."""
        process, subscription = channel.process, channel.subscription
        await process.point(f"take {packet.queue}")
        self.delivered += 1
        self.repeats += packet.redelivered and packet.queue in {REQUESTS, REPLIES}
        self.world.trace.say(process.name, "takes", packet.queue, packet.number, f"count {packet.count}")
        try:
            await subscription.handler(read_delivery(packet, subscription.item_type))
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.world.finds("handlers_never_fail", f"{packet.queue} of {process.name} raised {error!r}")
            await process.point(f"reject {packet.queue}")
            self._settle(channel, packet, dead=True)
        else:
            await process.point(f"ack {packet.queue}")
            self._settle(channel, packet, dead=False)

    def _settle(self, channel: Channel, packet: Packet, *, dead: bool) -> None:
        if packet.number not in channel.unacked:
            return  # it was given to somebody else meanwhile
        if self.world.chance.random() < self.world.weather.lost_ack:
            self.cut(channel.process)
            return
        del channel.unacked[packet.number], channel.handlers[packet.number]
        if dead:
            self._bury(packet)
        self.pump(packet.queue)

    def _bury(self, packet: Packet) -> None:
        grave = "notify_discord" if packet.queue.endswith(".heard") else packet.queue
        self.world.trace.say("broker", "buries", packet.queue, packet.number)
        death = {"queue": packet.queue, "reason": "rejected", "routing-keys": [packet.routing_key]}
        headers = {**packet.own_headers, "x-death": [death]}
        self.take(
            Outgoing(
                exchange=NAMES.dead_exchange,
                routing_key=grave,
                body=packet.body,
                message_id=packet.message_id,
                headers=headers,
            )
        )

    # what goes wrong

    def cut(self, process: Process) -> None:
        """A process loses its channels. What it had not acknowledged is given to others; it notices that a
        little later, breaks off, and subscribes again."""
        self.cuts += 1
        chance, subscriptions = self.world.chance, list[Subscription]()
        handlers = list["asyncio.Task[None]"]()
        for channel in self._channels_of(process):
            handlers += channel.handlers.values()
            subscriptions.append(channel.subscription)
            self._close(channel)
        self.world.trace.say(process.name, "loses its channels")
        notices = chance.choice((0.0, 0.05, 2.0)) * chance.random()
        self.world.loop.call_later(notices, partial(self._noticed, process, handlers, subscriptions))

    def _noticed(
        self, process: Process, handlers: "list[asyncio.Task[None]]", subscriptions: list[Subscription]
    ) -> None:
        for handler in handlers:
            handler.cancel()
        if process.alive:
            self.subscribe(process, subscriptions)

    async def drain(self, process: Process, grace: float) -> None:
        """A process takes nothing more. What it has begun may end; then it is broken off, in good order."""
        channels = self._channels_of(process)
        for channel in channels:
            channel.open = False
        until = self.world.loop.time() + grace
        while any(channel.unacked for channel in channels) and self.world.loop.time() < until:
            await asyncio.sleep(0.05)
        handlers = [handler for channel in channels for handler in channel.handlers.values()]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    def lose(self, process: Process) -> None:
        """A process is dead."""
        for channel in self._channels_of(process):
            self._close(channel)

    def _channels_of(self, process: Process) -> list[Channel]:
        return [each for queue in self.channels.values() for each in queue if each.process is process]

    def _close(self, channel: Channel) -> None:
        channel.open = False
        queue = channel.subscription.queue
        self.channels[queue].remove(channel)
        for packet in channel.unacked.values():
            packet.count += 1
        self.ready[queue][:0] = channel.unacked.values()
        channel.unacked.clear()
        channel.handlers.clear()
        self.pump(queue)

    def fail(self) -> None:
        self.up = False
        self.world.trace.say("broker", "is away")
        connected = [channel.process for queue in self.channels.values() for channel in queue]
        for process in dict.fromkeys(connected):
            self.cut(process)

    def recover(self) -> None:
        self.up = True
        self.world.trace.say("broker", "is back")
        for queue in list(self.ready):
            self.pump(queue)

    # what can be seen

    def packets(self) -> list[Packet]:
        """Everything that is not acknowledged."""
        waiting = [packet for queue in self.ready.values() for packet in queue]
        held = [
            packet for queue in self.channels.values() for each in queue for packet in each.unacked.values()
        ]
        return [*self.on_the_way.values(), *waiting, *held]

    @property
    def idle(self) -> bool:
        return not self.packets()
