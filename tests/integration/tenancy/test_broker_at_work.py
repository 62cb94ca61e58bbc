"""The whole system works with a broker user for each process, none of whom may declare anything; and who
asks in the name of another tenant is refused, and audited."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.names import Names, request_key
from contracts.requests import LeadRequested
from deploy.broker.users import ORCHESTRATOR, TRUSTED, outcomes_queue, step_user
from deploy.local.children import Children
from tests.kit.border import Border
from tests.kit.sandbox import running_sandbox
from tests.kit.system import RunningSystem, running_system

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

LOCKED = {"LEADSAGA_TOPOLOGY": "imported", "LEADSAGA_TRUSTED_USERS": ",".join(TRUSTED)}


@dataclass(slots=True)
class EachItsOwn(Children):
    """Every process logs in to the broker as itself."""

    border: Border | None = None

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        http_port: int = 0,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        assert self.border is not None
        user = ORCHESTRATOR if name == "orchestrator" else step_user(name)
        own = {"LEADSAGA_AMQP_URL": self.border.of(user)}
        Children.start(self, name, arguments, http_port, {**own, **(extra or {})})


@pytest.fixture
async def system(database_url: str, border: Border, tmp_path: Path) -> AsyncIterator[RunningSystem]:
    def children(logs: Path, directory: Path, environment: Mapping[str, str]) -> Children:
        return EachItsOwn(logs, directory, environment, border=border)

    async with (
        running_sandbox(tmp_path / "sandbox") as sandbox_url,
        running_system(
            database_url,
            border.url,
            "",
            sandbox_url,
            tmp_path,
            apart=True,
            settings=LOCKED,
            make_children=children,
        ) as running,
    ):
        yield running


async def asks(border: Border, user: str, request: LeadRequested, **message: Any) -> bool:
    key = request_key(request.tenant_id, request.type)
    body = request.model_dump_json().encode()
    async with border.connected(user) as tries:
        exchange = Names().requests_exchange
        return await tries.publish(exchange, key, body=body, **{"user_id": user, **message})


def wish(tenant_id: str, request_id: str) -> LeadRequested:
    return LeadRequested(tenant_id=tenant_id, request_id=request_id, criteria="bakeries", leads=2)


async def test_a_request_runs_through_all_processes_and_its_tenant_hears_of_it(
    system: RunningSystem, border: Border
) -> None:
    buyer, thief = await system.tenant(), await system.tenant()
    await border.admit(buyer.tenant_id, f"{buyer.tenant_id}.crm", thief.tenant_id)

    request = wish(buyer.tenant_id, "r-1")
    assert await asks(border, f"{buyer.tenant_id}.crm", request)
    assert "completed" == (await system.upstream.outcome(request)).event
    await system.until_settled(buyer)
    for user, hears in ((buyer.tenant_id, True), (thief.tenant_id, False)):
        async with border.connected(user) as tries:
            heard = await tries.take(outcomes_queue(Names(), user))
        assert hears == any(b"leads_ready" in message.body for message in heard)

    # Its own key and body, but not its user: as if it had been had by dead-lettering, or said by nobody.
    stolen = wish(buyer.tenant_id, "stolen")
    assert not await asks(border, thief.tenant_id, stolen)
    await system.upstream.ask(stolen)
    letter = await system.until_buried(b"stolen")
    assert ("Forged", None, "open") == (letter["error"], letter["tenant_id"], letter["status"])
    (row,) = await system.sql.fetch("SELECT * FROM audit WHERE action = 'refuse sender'")
    assert ("orchestrator", buyer.tenant_id) == (row["actor"], row["tenant_id"])
    assert [] == system.upstream.of(buyer.tenant_id, "stolen")
    assert 2 == await system.ledger(buyer)
