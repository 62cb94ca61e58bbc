"""One peer, measured once, on the services that ours has, too."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aio_pika
import asyncpg

from tests.benchmarks.cpu import Meter, per_saga
from tests.benchmarks.load import latencies
from tests.benchmarks.parts import Case, Metrics, Size
from tests.benchmarks.peers.figures import costs
from tests.benchmarks.peers.roster import Peer
from tests.benchmarks.peers.running import PeerFailed, Running, running
from tests.benchmarks.stage import Stage

TABLE = """
CREATE TABLE peer_usage (saga text PRIMARY KEY, items int NOT NULL, reported_at timestamptz)
    WITH (fillfactor = 80)
"""
DONE = "SELECT count(*) FROM peer_usage WHERE items = 10 AND reported_at IS NOT NULL"


async def measured(stage: Stage, size: Size, peer: Peer) -> Case:
    """Raises PeerFailed."""
    name = f"peer-{secrets.token_hex(4)}"
    directory = stage.directory / name
    directory.mkdir()
    plan = {"in_flight": peer.in_flight, "warm": size.warm, "window": size.window}
    plan |= {"rate": peer.rate, "open_loop": size.open_loop}
    async with stage.database() as url, _forgotten(stage, [each.format(queue=name) for each in peer.queues]):
        sql = await asyncpg.connect(url)
        await sql.execute(TABLE)
        given = {
            "PEER_DATABASE_URL": url,
            "PEER_AMQP_URL": stage.amqp_url,
            "PEER_QUEUE": name,
            "PEER_ENDS": str(directory / "ends"),
            "PEER_PLAN": json.dumps(plan),
        }
        async with running(peer, directory, given) as processes:
            metrics = await _metrics(stage, size, processes)
            sagas = (await processes.told("ended"))["sagas"]
        done = await sql.fetchval(DONE)
        await sql.close()
    if done != sagas:
        raise PeerFailed(f"it told {sagas} ends, and did the work of {done}")
    return Case(peer.name, metrics)


async def _metrics(stage: Stage, size: Size, processes: Running) -> Metrics:
    meter = _meter(stage, processes)
    await processes.told("ready")
    await processes.told("warm", size.warm)
    before = meter.read()
    closed = await processes.told("measured", size.window)
    cost = costs(per_saga(before, meter.read(), closed["sagas"]))
    waits = latencies((await processes.told("latency", size.open_loop))["waits"])
    rate = closed["sagas"] / closed["seconds"]
    return {"sagas/s": rate, **cost, "latency at /s": processes.peer.rate, **waits}


def _meter(stage: Stage, processes: Running) -> Meter:
    servers = stage.meter(list).groups
    groups = {"python": processes.python, "database": servers["database"]}
    if processes.peer.engine != "none":
        groups["engine"] = servers["broker"] if processes.peer.engine == "broker" else processes.engine
        groups["load"] = lambda: [processes.driver.pid]
    return Meter(groups)


@asynccontextmanager
async def _forgotten(stage: Stage, queues: Sequence[str]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        connection = await aio_pika.connect(stage.amqp_url)
        async with connection, connection.channel() as channel:
            for queue in queues:
                await channel.queue_delete(queue)
