"""DBOS: an asynchronous workflow with four plain steps, begun directly in the process that runs it."""

import asyncio
import os

from dbos import DBOS, SetWorkflowID  # type: ignore[import-not-found]

from tests.benchmarks.peers.programs import usage
from tests.benchmarks.peers.programs.driving import drive


@DBOS.step()  # type: ignore[untyped-decorator]
async def make_items() -> usage.Items:
    return usage.items()


@DBOS.step()  # type: ignore[untyped-decorator]
async def insert_usage(key: str, items: usage.Items) -> None:
    await usage.insert(key, len(items))


@DBOS.step()  # type: ignore[untyped-decorator]
async def mark_reported(key: str) -> None:
    await usage.report(key)


@DBOS.step()  # type: ignore[untyped-decorator]
async def do_nothing() -> None:
    pass


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def workflow(key: str) -> None:
    items = await make_items()
    await insert_usage(key, items)
    await mark_reported(key)
    await do_nothing()


async def saga(key: str) -> None:
    with SetWorkflowID(key):
        handle = await DBOS.start_workflow_async(workflow, key)
    await handle.get_result()


async def main() -> None:
    url = os.environ["PEER_DATABASE_URL"]
    DBOS(config={"name": "peer", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    await drive(saga)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
