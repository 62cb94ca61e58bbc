"""Every operation that writes, publishes, calls a vendor or acknowledges has a crash point of its own."""

from collections.abc import Mapping

import pytest

from tests.crash.points import points_in
from tests.crash.points_missing import missing
from tests.crash.points_source import Source, sources


def code(path: str, text: str) -> Mapping[str, Source]:
    return {path: Source.of(path, text)}


def test_nothing_reaches_database_broker_or_vendor_past_the_crash_points() -> None:
    assert [] == missing(sources())


def test_no_two_operations_share_a_name_and_every_name_says_what_it_stands_for() -> None:
    found = points_in(sources())
    assert ([], []) == (found.twice(), found.unknown)


def test_the_paths_of_a_group_the_statements_and_the_steps_are_told_apart() -> None:
    found = points_in(sources()).passed.keys()
    assert {"group.request:commit", "group.reply:committed", "group.timer:committed"} <= found
    assert {"store.save:ran", "store.due:committed", "batch.record_usage.do:commit"} <= found
    assert {"ack.replies:before", "publish.owed:one", "call.stripe:answered"} <= found


SEEDED = {
    "a transaction without a name": "async def f(database):\n  async with database.transaction('acme'): pass",
    "a transaction whose name is not written there": (
        "async def f(database, word):\n  async with database.transaction(name=word): pass"
    ),
    "a checkpoint without a name": "async def f(attempt):\n  async with attempt.transaction(): pass",
    "a transaction of a bare connection": (
        "async def f(connection):\n  async with connection.transaction(): pass"
    ),
    "a connection from the pool": "async def f(database):\n  async with database.pool.acquire(): pass",
    "a statement on the pool": "async def f(database):\n  await database.pool.execute('DELETE FROM sagas')",
    "a connection of its own": "async def f():\n  await asyncpg.connect('postgresql://')",
    "a named statement run elsewhere": "async def f(connection):\n  await connection.execute(sql('append'))",
    "a publish on an exchange": "async def f(exchange):\n  await exchange.publish(b'', routing_key='x')",
    "a publish by the framework": "async def f(broker):\n  await broker.publish(b'', queue='x')",
    "a publish without a name": "async def f(publisher):\n  await publisher.publish([])",
    "an acknowledgement": "async def f(message):\n  await message.ack()",
    "a rejection": "async def f(self):\n  await self.message.reject(requeue=True)",
    "a consumer past the common one": "def f(broker):\n  broker.subscriber('queue')",
    "a queue that is read by hand": "async def f(queue):\n  await queue.get()",
    "a vendor called from elsewhere": "import httpx2",
    "a vendor's part called from elsewhere": "from stripe.billing import MeterEvent",
}


@pytest.mark.parametrize("kind", SEEDED)
def test_an_operation_without_a_point_is_found(kind: str) -> None:
    (found,) = missing(code("steps/runtime/new.py", SEEDED[kind]))
    assert found.startswith("steps/runtime/new.py:")


@pytest.mark.parametrize(
    "body",
    [
        "  await self.sdk.v1.charges.create_async({})",
        "  charging = self.sdk.v1.charges.create_async({})\n  await charging",
        "  async with asyncio.timeout(1):\n    await self.http.post('https://')",
        "  await hurried(self.sdk.v1.charges.create_async({}))",
    ],
)
def test_a_call_to_a_vendor_without_points_is_found(body: str) -> None:
    text = f"async def hurried(call):\n  return await call\nasync def f(self):\n{body}"
    (found,) = missing(code("steps/clients/stripe.py", text))
    assert found.endswith("a call to a vendor that is not between two points")


@pytest.mark.parametrize(
    "body",
    [
        "  async with crash.around('call.bank', 'answered'):\n    await self.sdk.pay()",
        "  paying = self.sdk.pay()\n  return await asked(paying)",
        "  return await asked(self.sdk.pay())",
    ],
)
def test_a_call_to_a_vendor_between_two_points_is_in_order(body: str) -> None:
    between = "  async with crash.around('call.bank', 'answered'):\n    return await call\n"
    handing = f"async def answered(call):\n{between}async def asked(call):\n  return await answered(call)\n"
    assert [] == missing(code("steps/clients/bank.py", f"{handing}async def f(self):\n{body}"))


def test_a_name_that_is_given_twice_is_found() -> None:
    twice = "async def f(database):\n" + "  async with database.transaction(name='bank.pay'): pass\n" * 2
    found = points_in(code("steps/bank.py", twice)).twice()
    assert ["bank.pay:commit", "bank.pay:committed"] == [line.partition(": ")[0] for line in found]


def test_a_name_of_which_nobody_says_what_it_stands_for_is_found() -> None:
    text = "async def f(database, coin):\n  async with database.transaction(name=f'bank.{coin}'): pass"
    assert ["steps/bank.py:2: bank.{coin}"] == points_in(code("steps/bank.py", text)).unknown
