"""What is done to a system so that one of its processes comes by a crash point, and how that must end."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from contracts.events import Event
from contracts.requests import LeadRequested, RefundRequested
from tests.kit.asking import cancel_of, delivered, lead_request, refund_of
from tests.kit.system import RunningSystem, Tenant

SLOW = 8.0
"""Seconds that a model call takes when something else is to happen meanwhile. It is given up after 2."""


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
    """The model keeps the first one waiting, and never answers the second: should the cancel come late, it
    fails all the same."""

    at_once = 1

    async def prepare(self) -> None:
        await super().prepare()
        for request, times in ((self.request, 2), (self.second, None)):
            await self.system.sandbox.fault(
                "anthropic.messages", match=request.request_id, delay_seconds=SLOW, times=times
            )
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
    """While the model works: what the call cost is booked after the step was undone. It never answers: should
    the cancel come late, the request fails all the same."""

    at_once = 1

    async def act(self) -> None:
        await self._asks_slowly()
        await self.system.upstream.ask(cancel_of(self.request))

    async def ends(self) -> None:
        await self._hears("failed")

    async def _asks_slowly(self, times: int | None = None) -> None:
        """Returns when the model has been asked, and has not answered."""
        mine = self.request.request_id
        await self.system.sandbox.fault("anthropic.messages", match=mine, delay_seconds=SLOW, times=times)
        await super().act()
        await self.system.until_sql(
            "SELECT count(*) > 0 FROM model_calls WHERE tenant_id = $1", self.tenant.tenant_id
        )


class IsCancelledLater(IsCancelled):
    async def prepare(self) -> None:
        await super().prepare()
        await self._asks_slowly()

    async def act(self) -> None:
        await self.system.upstream.ask(cancel_of(self.request))


class IsInterrupted(IsCancelled):
    """The process is asked to stop while the model works, and will not wait for it."""

    settings: ClassVar[Mapping[str, str]] = {"LEADSAGA_DRAIN_SECONDS": "0.1"}

    async def act(self) -> None:
        await self._asks_slowly(times=1)
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


class StripeForgets(StripeIsLost):
    """And it stays lost for a day: Stripe's total of the period settles what its identifier no longer can."""

    async def prepare(self) -> None:
        await super().prepare()
        await self.system.sandbox.fault("stripe.meter_events", match=self.tenant.customer, drop="after")
        await self.system.upstream.ask(self.request)
        await self.system.until_sql(
            "SELECT count(*) > 0 FROM intents WHERE tenant_id = $1 AND state = 'sending'",
            self.tenant.tenant_id,
        )

    async def act(self) -> None:
        await self.system.sql.execute(
            "UPDATE intents SET first_sent_at = now() - interval '1 day', retry_at = now()"
            " WHERE tenant_id = $1 AND state = 'sending'",
            self.tenant.tenant_id,
        )
        await self.system.sql.execute(
            "UPDATE work_due SET due_at = now() WHERE tenant_id = $1", self.tenant.tenant_id
        )


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
