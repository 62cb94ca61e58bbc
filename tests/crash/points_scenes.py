"""What is done to a system so that one of its processes comes by a crash point, and how that must end."""

import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aio_pika

from contracts.events import Event
from contracts.requests import LeadRequested, RefundRequested
from tests.crash.points_sabotage import mended, sabotaged
from tests.kit.asking import cancel_of, delivered, lead_request, refund_of
from tests.kit.system import RunningSystem, Tenant

SLOW = 1.5
"""Seconds that a model call takes when something else is to happen meanwhile; its limit is 2."""


@dataclass(slots=True)
class Scene:
    """A plain request. Others change what they differ in."""

    system: RunningSystem
    point: str
    tenant: Tenant = field(init=False)
    request: LeadRequested = field(init=False)

    first: ClassVar[tuple[str, ...]] = ()
    """Points at which the process dies before, with the same work in its hands."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Of the process that is to die."""
    at_once: ClassVar[int] = 100
    """Of these scenes, how many may follow one another before the process may work in peace."""

    async def prepare(self) -> None:
        """While everything runs."""
        self.tenant = await self.system.tenant()
        self.request = lead_request(self.tenant)

    async def act(self) -> None:
        """While the process waits for its point; it may be dead already, by what others have left to do."""
        await self.system.upstream.ask(self.request)

    async def mend(self) -> None:
        """When the process is dead."""

    async def ends(self) -> None:
        """When it runs again: returns when all has ended as it should."""
        await self._hears("completed")

    async def _hears(self, name: str, request: LeadRequested | RefundRequested | None = None) -> Event:
        event: Event = await self.system.upstream.outcome(request or self.request)
        assert name == event.event, f"{self.point}: {event}"
        return event


class RollsBack(Scene):
    async def act(self) -> None:
        await self.system.sandbox.fault("anthropic.messages", match=self.request.request_id, status=400)
        await super().act()

    async def ends(self) -> None:
        await self._hears("failed")


class IsAskedAgain(Scene):
    async def prepare(self) -> None:
        await super().prepare()
        await delivered(self.system, self.request)

    async def ends(self) -> None:
        await self.system.upstream.outcome(self.request, "completed", times=2)


class WaitsForItsTurn(Scene):
    """The tenant may have one saga in flight, and asks for two."""

    second: LeadRequested

    async def prepare(self) -> None:
        await super().prepare()
        self.second = lead_request(self.tenant)
        await self.system.sql.execute(
            "UPDATE tenants SET sagas_in_flight = 1 WHERE tenant_id = $1", self.tenant.tenant_id
        )

    async def act(self) -> None:
        await self.system.upstream.ask(self.request, self.second)

    async def ends(self) -> None:
        await self._hears("completed")
        await self._hears("completed", self.second)


class IsCancelledInTheQueue(WaitsForItsTurn):
    async def prepare(self) -> None:
        await super().prepare()
        mine = self.request.request_id
        await self.system.sandbox.fault("anthropic.messages", match=mine, delay_seconds=SLOW, times=1)
        await super().act()
        await self.system.until_sql(
            "SELECT count(*) = 2 FROM requests WHERE tenant_id = $1", self.tenant.tenant_id
        )

    async def act(self) -> None:
        await self.system.upstream.ask(cancel_of(self.second))

    async def ends(self) -> None:
        await self._hears("failed", self.second)


class IsRefunded(Scene):
    refund: RefundRequested

    async def prepare(self) -> None:
        await super().prepare()
        await delivered(self.system, self.request)
        self.refund = refund_of(self.request, leads=1)

    async def act(self) -> None:
        await self.system.upstream.ask(self.refund)

    async def ends(self) -> None:
        await self._hears("refunded", self.refund)


class IsCancelled(Scene):
    """While the model works: what the call cost is booked after the step was undone."""

    async def act(self) -> None:
        await self._asks_slowly()
        await self.system.upstream.ask(cancel_of(self.request))

    async def ends(self) -> None:
        await self._hears("failed")

    async def _asks_slowly(self, seconds: float = SLOW, times: int | None = 1) -> None:
        """Returns when the model has been asked, and has not answered."""
        mine = self.request.request_id
        await self.system.sandbox.fault("anthropic.messages", match=mine, delay_seconds=seconds, times=times)
        await super().act()
        await self.system.until_sql(
            "SELECT count(*) > 0 FROM model_calls WHERE tenant_id = $1", self.tenant.tenant_id
        )


class IsCancelledLater(IsCancelled):
    """The model takes longer than anybody waits for it: should the cancel come late, the request fails."""

    at_once = 1

    async def prepare(self) -> None:
        await super().prepare()
        await self._asks_slowly(8.0, times=None)

    async def act(self) -> None:
        await self.system.upstream.ask(cancel_of(self.request))


class IsInterrupted(IsCancelled):
    """The process is asked to stop while the model works, and will not wait for it."""

    settings: ClassVar[Mapping[str, str]] = {"LEADSAGA_DRAIN_SECONDS": "0.1"}

    async def act(self) -> None:
        await self._asks_slowly()
        steps: Any = self.system.children.running["steps"]
        await steps.tell(signal.SIGTERM)

    async def ends(self) -> None:
        await self._hears("completed")


class KillsItsReader(Scene):
    """Delivered for the third time, so that it is worked through with suspicion."""

    at_once = 1
    first: ClassVar[tuple[str, ...]] = ("batch.reserve_quota.do:commit",) * 2


class StripeIsLost(Scene):
    """The usage arrives, and the answer to it does not."""

    async def act(self) -> None:
        await self.system.sandbox.fault(
            "stripe.meter_events", match=self.tenant.customer, drop="after", times=1
        )
        await super().act()


class IsLeftBehind(IsAskedAgain):
    """An event that was committed long ago, by a process that did not live to publish it."""

    async def act(self) -> None:
        (heard,) = [
            event
            for event in self.system.upstream.of(self.tenant.tenant_id, self.request.request_id)
            if event.event == "completed"
        ]
        await self.system.sql.execute(
            "INSERT INTO events_out (event_id, tenant_id, event, body, created_at)"
            " VALUES ($1, $2, $3, $4, now() - interval '1 minute')"
            " ON CONFLICT (event_id) DO UPDATE SET created_at = excluded.created_at",
            *(heard.event_id, heard.tenant_id, heard.event, heard.model_dump_json()),
        )


class Nonsense(Scene):
    """A message that nobody understands; it names `mark`."""

    mark: bytes

    async def prepare(self) -> None:
        self.mark = secrets.token_hex(8).encode()

    async def act(self) -> None:
        await self.system.upstream.send_raw(b"nonsense " + self.mark, "nobody.lead_requested")

    async def ends(self) -> None:
        await self.system.until_buried(self.mark)
        assert 1 == len(await self.system.dead_letters(self.mark)), self.point


class NonsenseIsReplayed(Nonsense):
    """It is as little understood as before, and lies where it lay."""

    async def prepare(self) -> None:
        await super().prepare()
        await super().act()
        await self.system.until_buried(self.mark)

    async def act(self) -> None:
        await self.system.sql.execute(
            "INSERT INTO orders (order_id, kind, actor, reason, dead_letter_id)"
            " SELECT gen_random_uuid(), 'replay', 'a test', 'perhaps it is understood now', dead_letter_id"
            " FROM dead_letters WHERE position($1 IN message) > 0",
            self.mark,
        )

    async def ends(self) -> None:
        await self.system.until_sql(
            "SELECT bool_and(o.taken_at IS NOT NULL AND l.times_seen > 1) FROM orders o"
            " JOIN dead_letters l USING (dead_letter_id) WHERE position($1 IN l.message) > 0",
            self.mark,
        )
        await super().ends()


class NonsenseForAStep(Nonsense):
    async def act(self) -> None:
        await self.system.upstream.send_command_bytes("reserve_quota", b"nonsense " + self.mark)


class LiesAmongTheDead(Nonsense):
    """In the dead-letter queue that the point names, or in one of them."""

    async def act(self) -> None:
        queue = self.point.removeprefix("ack.").removesuffix(".dead:before")
        queue = queue if queue != self.point else "reserve_quota"
        exchange = await self.system.upstream.channel.get_exchange(
            self.system.names.dead_exchange, ensure=False
        )
        message = aio_pika.Message(b"nonsense " + self.mark, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await exchange.publish(message, routing_key=queue)


class Sabotaged(Scene):
    """The database refuses what a process has to write for this tenant, until that is mended."""

    refused: ClassVar[str]

    async def prepare(self) -> None:
        await super().prepare()
        await sabotaged(self.system.sql, self.refused, self.tenant.tenant_id)

    async def mend(self) -> None:
        await mended(self.system.sql, self.tenant.tenant_id)


class StepFails(Sabotaged):
    """Again and again, until it is mended: each attempt is asked for by a timer."""

    refused = "INSERT ON holds"


class IsReplayed(Sabotaged):
    """Parked, because its usage could not be recorded; that is mended, and the saga is replayed."""

    refused = "INSERT ON ledger"

    async def prepare(self) -> None:
        await super().prepare()
        await self.system.upstream.ask(self.request)
        await self.system.upstream.outcome(self.request, "parked")
        await self.mend()

    async def act(self) -> None:
        saga_id = await self.system.saga_of(self.tenant, self.request.request_id)
        await self.system.sql.execute(
            "INSERT INTO orders (order_id, tenant_id, saga_id, kind, actor, reason)"
            " VALUES (gen_random_uuid(), $1, $2, 'replay', 'a test', 'the ledger is mended')",
            *(self.tenant.tenant_id, saga_id),
        )

    async def ends(self) -> None:
        await self.system.upstream.outcome(self.request, "completed")


class FlushFails(Sabotaged):
    refused = "INSERT ON intents"


class NoticeFails(Sabotaged):
    refused = "UPDATE ON notices"


class GroupFails(Sabotaged):
    """A request that cannot even be remembered is kept as a dead letter."""

    refused = "INSERT ON requests"

    async def mend(self) -> None:
        """Not before it is buried."""

    async def ends(self) -> None:
        mine = self.request.request_id.encode()
        await self.system.until_buried(mine)
        (letter,) = await self.system.dead_letters(mine)
        assert "GroupFailed" == letter["error"]
        await super().mend()
