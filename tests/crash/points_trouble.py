"""Scenes of what should never be sent, and of a database that refuses."""

import json
import secrets
from typing import ClassVar

import aio_pika

from tests.crash.points_sabotage import mended, sabotaged
from tests.crash.points_scenes import Scene
from tests.kit.asking import delivered


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


class SpeaksForAnother(Nonsense):
    """A request that makes sense, under the key of a tenant that it does not name."""

    async def act(self) -> None:
        request = {"v": 1, "type": "lead_requested", "tenant_id": "victim", "criteria": "x", "leads": 1}
        body = json.dumps({**request, "request_id": self.mark.decode()}).encode()
        await self.system.upstream.send_raw(body, "nobody.lead_requested")

    async def ends(self) -> None:
        await super().ends()
        await self.system.until_sql(
            "SELECT count(*) > 0 FROM audit JOIN dead_letters l ON l.message_id = after ->> 'message_id'"
            " WHERE position($1 IN l.message) > 0",
            self.mark,
        )


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
    """Again and again, until it is mended or gives up: each attempt is asked for by a timer."""

    refused = "INSERT ON holds"

    async def ends(self) -> None:
        # Its attempts may be spent before the last of the deaths, after which it is mended.
        await self.system.upstream.outcome(self.request, "completed", "failed")


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


class ReconcileFails(Sabotaged):
    """Of a tenant with usage: what was compared cannot be kept."""

    refused = "INSERT ON reconciliations"

    async def prepare(self) -> None:
        await super().prepare()
        await delivered(self.system, self.request)

    async def act(self) -> None:
        await self.system.sql.execute(
            "UPDATE work_due SET due_at = now() WHERE tenant_id = $1 AND kind = 'reconcile'",
            self.tenant.tenant_id,
        )

    async def ends(self) -> None:
        await self.system.until_sql(
            "SELECT count(*) > 0 FROM reconciliations WHERE tenant_id = $1", self.tenant.tenant_id
        )


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
