"""Restate: a workflow of four durable runs, served over HTTP/2; the load waits for its answer."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

import restate  # type: ignore[import-not-found]
import uvloop

from tests.benchmarks.peers.programs import usage
from tests.benchmarks.peers.programs.driving import drive

PATIENCE = 60.0
"""Seconds until server and service answer."""

saga = restate.Workflow("Saga")


@saga.main()  # type: ignore[untyped-decorator]
async def run(context: restate.WorkflowContext) -> str:
    key = context.key()
    items = await context.run_typed("make_items", make_items)
    await context.run_typed("insert_usage", usage.insert, restate.RunOptions(), key, len(items))
    await context.run_typed("mark_reported", usage.report, restate.RunOptions(), key)
    await context.run_typed("do_nothing", do_nothing)
    return "completed"


async def make_items() -> usage.Items:
    return usage.items()


async def do_nothing() -> None:
    pass


app = restate.app([saga])


@dataclass(slots=True)
class Ingress:
    """Connections that are kept: with a usual client the load would take CPU that the workflow needs."""

    port: int
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def saga(self, key: str) -> None:
        line = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = line
        writer.write(f"POST /Saga/{key}/run HTTP/1.1\r\nhost: peer\r\ncontent-length: 0\r\n\r\n".encode())
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        size = next(int(each.split(":")[1]) for each in headers if each.startswith("content-length"))
        body = await reader.readexactly(size)
        if status.split()[1] != "200":
            raise RuntimeError(f"{status}: {body.decode()}")
        self.idle.append(line)


def register(admin: str, service: str) -> None:
    body = json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments", body, {"content-type": "application/json"}
    )
    until = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


async def main() -> None:
    register(os.environ["PEER_ADMIN"], os.environ["PEER_SERVICE"])
    await drive(Ingress(int(os.environ["PEER_INGRESS"])).saga)


if __name__ == "__main__":
    uvloop.run(main())
