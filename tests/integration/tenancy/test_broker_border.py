"""The broker is a border, too: its definitions are imported into a real one, and everybody tries to cross."""

import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelPreconditionFailed

from contracts.ids import ADMINISTRATION
from contracts.names import REPLIES, REQUESTS, Names, request_key
from contracts.process.topology import exchange_types
from contracts.requests import LeadRequested
from deploy.broker.definitions import all_steps, users
from deploy.broker.users import ASKED, OPERATOR, ORCHESTRATOR, outcomes_queue, step_user
from steps.runtime.step import Batch
from tests.integration.tenancy.conftest import UPSTREAM
from tests.kit.border import Border

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

NAMES = Names()
WORK = [queue for step in all_steps() for queue in step.work()]
HEARD = {step.name: f"{step.name}.heard" for step in all_steps() if step.hears}
QUEUES = [
    *(REQUESTS, REPLIES, *WORK, *HEARD.values()),
    *(NAMES.dead_queue(each) for each in (REQUESTS, REPLIES, *WORK)),
    *(outcomes_queue(NAMES, user) for user in UPSTREAM),
]
EXCHANGES = list(exchange_types(NAMES))


def publishes(user: str) -> set[str]:
    """To which exchanges, under some key at least."""
    exchanges = {
        ORCHESTRATOR: set(EXCHANGES) - {NAMES.dead_exchange} | {""},
        OPERATOR: {NAMES.requests_exchange},
    }
    if user in UPSTREAM:
        return {NAMES.requests_exchange}
    return exchanges.get(user, {NAMES.replies_exchange, NAMES.dead_exchange} | tells(user))


def tells(user: str) -> set[str]:
    of_it = [step for step in all_steps() if step_user(step.name) == user]
    announcing = [
        work for step in of_it for work in step.work().values() if isinstance(work, Batch) and work.announce
    ]
    return {NAMES.events_exchange} if announcing else set()


def reads(user: str) -> set[str]:
    if user in UPSTREAM:
        return {outcomes_queue(NAMES, user)}
    if user == ORCHESTRATOR:
        return {REQUESTS, REPLIES, *(NAMES.dead_queue(each) for each in (REQUESTS, REPLIES, *WORK))}
    for step in all_steps():
        if step_user(step.name) == user:
            return {*step.work(), *({HEARD[step.name]} if step.hears else set())}
    return set()


def key_of(exchange: str, user: str) -> str:
    """One under which the user may publish there, if it may at all."""
    tenant = user.split(".", maxsplit=1)[0] if user in UPSTREAM else "acme"
    if exchange == NAMES.requests_exchange:
        return request_key(tenant, "tenant_requested" if tenant == ADMINISTRATION else "lead_requested")
    if exchange == NAMES.events_exchange:
        return f"{tenant}.leads_ready"
    return "nowhere"


EVERYBODY = [user.name for user in users(NAMES, UPSTREAM)]


@pytest.mark.parametrize("user", EVERYBODY)
async def test_each_user_publishes_and_reads_what_its_work_needs_and_nothing_else(
    border: Border, user: str
) -> None:
    async with border.connected(user) as tries:
        published = {each for each in [*EXCHANGES, ""] if await tries.publish(each, key_of(each, user))}
        assert publishes(user) == published
        read = {queue for queue in QUEUES if await tries.read(queue)}
        assert reads(user) == read


@pytest.mark.parametrize("user", EVERYBODY)
async def test_nobody_declares_binds_or_deletes_what_all_share(border: Border, user: str) -> None:
    async with border.connected(user) as tries:
        for queue in (*QUEUES, f"{user}.mine"):
            assert not await tries.may(lambda it, queue=queue: it.declare_queue(queue, durable=True))
            assert not await tries.may(lambda it, queue=queue: it.queue_delete(queue))
        for exchange in (*EXCHANGES, "mine"):
            assert not await tries.may(
                lambda it, exchange=exchange: it.declare_exchange(exchange, durable=True)
            )
            assert not await tries.may(lambda it, exchange=exchange: it.exchange_delete(exchange))
        for queue in reads(user):
            for key in ("#", "globex.#", "*.leads_ready"):
                assert not await tries.may(lambda it, queue=queue, key=key: bound(it, queue, key))


async def bound(channel: AbstractChannel, queue: str, key: str) -> None:
    found = await channel.get_queue(queue, ensure=False)
    await found.bind(NAMES.events_exchange, routing_key=key)


async def test_a_tenants_user_asks_for_its_tenant_alone(border: Border) -> None:
    refused = [
        *(request_key("globex", asked) for asked in ASKED),
        *("acme-eu.lead_requested", "xacme.lead_requested", "#", "acme.#", "lead_requested", ""),
        *(
            "acme.lead_requested.globex",
            "acme.leads_ready",
            "ACME.lead_requested",
            "globex.acme.lead_requested",
        ),
    ]
    async with border.connected("acme") as tries, border.connected("acme.crm") as service:
        for each in (tries, service):
            for asked in ASKED:
                assert await each.publish(NAMES.requests_exchange, request_key("acme", asked))
            for key in refused:
                assert not await each.publish(NAMES.requests_exchange, key), key


async def test_only_the_administration_asks_for_new_tenants(border: Border) -> None:
    asked = request_key(ADMINISTRATION, "tenant_requested")
    for user in UPSTREAM:
        async with border.connected(user) as tries:
            assert (user == "administration.signup") == await tries.publish(NAMES.requests_exchange, asked)
            assert not await tries.publish(NAMES.requests_exchange, request_key("acme", "tenant_requested"))
    async with border.connected("administration.signup") as tries:
        for tenant in ("acme", ADMINISTRATION):
            assert not await tries.publish(NAMES.requests_exchange, request_key(tenant, "lead_requested"))


async def test_nobody_signs_with_the_name_of_another(border: Border) -> None:
    async with border.connected("acme") as tries:
        own = request_key("acme", "lead_requested")
        assert await tries.publish(NAMES.requests_exchange, own, user_id="acme")
        for name in ("globex", "acme.crm", ORCHESTRATOR, OPERATOR):
            with pytest.raises(ChannelPreconditionFailed):
                await tries.publish(NAMES.requests_exchange, own, user_id=name)


async def test_a_copy_under_another_key_arrives_under_the_senders_own(border: Border) -> None:
    """RabbitMQ routes by the keys of CC and BCC as well, which no permission is asked for."""
    asked = LeadRequested(tenant_id="globex", request_id="stolen", criteria="bakeries", leads=1)
    own, other = request_key("acme", asked.type), request_key("globex", asked.type)
    async with border.connected(ORCHESTRATOR) as engine, border.connected("acme") as tries:
        await engine.take(REQUESTS)
        body, copies = asked.model_dump_json().encode(), {"CC": [other], "BCC": [other]}
        await tries.publish(NAMES.requests_exchange, own, body=body, headers=copies, user_id="acme")
        (arrived,) = await engine.take(REQUESTS)
    assert (own, "acme", body) == (arrived.routing_key, arrived.user_id, arrived.body)


async def test_each_tenant_hears_of_itself_alone(border: Border) -> None:
    async with border.connected(ORCHESTRATOR) as engine:
        assert await engine.publish(NAMES.events_exchange, "acme.completed", body=b"of acme")
    for user, hears in (("acme", True), ("acme.crm", True), ("globex", False)):
        async with border.connected(user) as tries:
            heard = [message.body for message in await tries.take(outcomes_queue(NAMES, user))]
        assert hears == (b"of acme" in heard)


async def test_an_operator_asks_and_listens_as_any_tenant_would(border: Border) -> None:
    async with border.connected(OPERATOR) as tries, await tries.connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(NAMES.events_exchange, routing_key="globex.#")
        assert await tries.publish(NAMES.requests_exchange, "globex.lead_requested", user_id=OPERATOR)
        assert not await tries.may(lambda it: bound(it, queue.name, "#"))
