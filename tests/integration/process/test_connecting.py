"""A service that refuses us is a wrong setting; one that is away is waited for."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr

from contracts.process.postgres import connect
from contracts.process.publishing import Outgoing, Unroutable, publishing
from contracts.process.settings import BadSettings, BrokerSettings, PoolSettings
from contracts.process.waiting import Stopped


def as_stranger(url: str) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"nobody:hidden-word@{address}"))


async def test_a_broker_that_refuses_the_password_stops_the_start(amqp_url: str) -> None:
    with pytest.raises(BadSettings) as refused:
        async with publishing(BrokerSettings(amqp_url=SecretStr(as_stranger(amqp_url))), name="test"):
            pytest.fail("a stranger got in")
    assert ["LEADSAGA_AMQP_URL: the broker refuses its user or password"] == refused.value.faults


async def test_a_database_that_refuses_the_user_stops_the_start(database_url: str) -> None:
    with pytest.raises(BadSettings) as refused:
        async with connect(as_stranger(database_url), PoolSettings(), name="test"):
            pytest.fail("a stranger got in")
    assert ["the Postgres URL of test: the database refuses its user or password"] == refused.value.faults


async def test_waiting_ends_when_the_process_is_to_stop() -> None:
    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(Stopped):
        async with connect("postgresql://127.0.0.1:1/none", PoolSettings(), name="test", stopping=stopping):
            pytest.fail("nobody answers there")


async def test_a_publisher_that_gets_nothing_through_is_not_connected(
    amqp_url: str, queue_prefix: str
) -> None:
    nowhere = Outgoing(exchange="amq.direct", routing_key=f"{queue_prefix}nobody", body=b"{}")
    heard = Outgoing(exchange="amq.direct", routing_key="anything", body=b"{}", mandatory=False)
    async with publishing(BrokerSettings(amqp_url=SecretStr(amqp_url)), name="test") as publisher:
        with pytest.raises(Unroutable) as returned:
            await publisher.publish([nowhere], name="commands")
        assert [nowhere] == list(returned.value.left)
        assert not publisher.connected
        await publisher.publish([heard], name="events")
        assert publisher.connected
