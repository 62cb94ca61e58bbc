"""Messages that nobody can carry out, all different, in every queue."""

import asyncio
import json
import uuid
from collections.abc import Coroutine

from contracts.bundle import encode
from contracts.messages import Command
from steps import catalogue
from tests.kit.system import RunningSystem

AT_A_TIME = 500


async def nonsense(system: RunningSystem, count: int) -> int:
    """About `count` of them: half cannot be read, half are commands that cannot be carried out. Returns how
    many were sent; each becomes a dead letter."""
    queues = [queue for name in catalogue.names() for queue in catalogue.find(name).work()]
    sent = 0
    while sent < count:
        batch = [_one(system, queues, number) for number in range(sent, min(count, sent + AT_A_TIME))]
        await asyncio.gather(*batch)
        sent += len(batch)
    return sent


def _one(system: RunningSystem, queues: list[str], number: int) -> Coroutine[object, object, None]:
    upstream, unique = system.upstream, uuid.uuid4().hex
    queue = queues[number // 8 % len(queues)]
    match number % 8:
        case 0:
            return upstream.send_raw(b"\xff\x00 not JSON " + unique.encode(), "nobody.lead_requested")
        case 1:
            return upstream.send_raw(json.dumps({"v": 9, "id": unique}).encode(), "nobody.lead_requested")
        case 2:
            return upstream.send_reply_bytes(json.dumps({"v": 1, "items": [{"id": unique}]}).encode())
        case 3:
            return upstream.send_command_bytes(queue, ("[" * 2000 + unique).encode())
        case _:
            return upstream.send_command_bytes(queue, encode([_command(queue)]))


def _command(queue: str) -> Command:
    """For a saga that does not exist."""
    step = next(name for name in catalogue.names() if queue in catalogue.find(name).work())
    return Command(
        tenant_id="nobody",
        saga_id=uuid.uuid4(),
        saga="lead",
        request_id="r-1",
        step=step,
        direction="do" if step == queue else "undo",
        attempt=1,
        last=False,
        timeout=5,
        request={"leads": 1},
    )
