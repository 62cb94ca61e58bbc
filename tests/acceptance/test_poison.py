"""A command that kills whoever runs it, or fails all its attempts, delivered together with healthy ones: it
alone ends in the dead letters, with a reason, and goes on once its cause is mended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from contracts.bundle import decode, encode
from contracts.messages import Command
from contracts.requests import LeadRequested
from steps import catalogue
from tests.kit.asking import lead_request
from tests.kit.mortal import own_system
from tests.kit.operator import leadsaga
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import free_port, until
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

POISON = "it was begun 3 times and its process died each time"
SLOW = 1.0
"""Seconds of a model's answer: longer than the culprit needs to end the process."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningSystem]:
    async with own_system(admin_url, template, amqp_url, tmp_path_factory.mktemp("killable")) as mortal:
        yield mortal.system


@asynccontextmanager
async def without(system: RunningSystem, step: str) -> AsyncIterator[None]:
    """The system with one step missing; inside, `with_killable` adds it as one that can be killed."""
    await system.kill("steps")
    others = [name for name in catalogue.names() if name != step]
    programs = system.children.programs
    before = programs["steps"]
    system.children.start("steps", ["-m", "steps", *others], system.ports["steps"])
    await system.ready("steps")
    try:
        yield
    finally:
        programs["steps"] = before
        await system.kill("steps")
        await system.restart("steps")


@asynccontextmanager
async def with_killable(system: RunningSystem, step: str) -> AsyncIterator[None]:
    """The step in a process of its own, that is started again whenever it dies."""
    deaths: list[str] = []
    system.children.start(step, ["-m", "tests.kit.killable", step], free_port())
    watching = asyncio.create_task(system.children.watch(deaths.append))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await system.kill(step)
        del system.children.running[step]
    assert deaths
    assert all(step in death for death in deaths)


def asking(tenant: Tenant, *does: str) -> list[LeadRequested]:
    """A healthy one first and last; between them one for each thing that requests can do to a step."""
    criteria = ["", *(f"bakeries ({each})" for each in does), ""]
    return [lead_request(tenant, criteria=each) for each in criteria]


async def asked(system: RunningSystem, requests: Sequence[LeadRequested], step: str) -> None:
    """Returns when a command of each of them waits for the step."""
    await system.upstream.ask(*requests)
    await system.until_sql(
        "SELECT count(*) = $2 FROM sagas WHERE state ->> 'step' = $3 AND request_id = ANY ($1::text[])",
        *([each.request_id for each in requests], len(requests), step),
    )


async def bundled(system: RunningSystem, step: str, commands: int) -> None:
    """All commands that wait in a queue wait there again in one message."""
    queue = await system.upstream.channel.get_queue(system.names.queue(step), ensure=False)
    taken: list[Command] = []

    async def all_taken() -> bool:
        message = await queue.get(no_ack=True, fail=False)
        if message is not None:
            taken.extend(decode(message.body, Command))
        return len({each.saga_id for each in taken}) == commands

    await until(all_taken, PATIENCE)
    once = {each.saga_id: each for each in taken}
    await system.upstream.send_command_bytes(step, encode(list(once.values())))


async def letters_of(system: RunningSystem, tenant: Tenant) -> list[dict[str, Any]]:
    query = "SELECT * FROM dead_letters WHERE tenant_id = $1 ORDER BY first_at"
    return [dict(row) for row in await system.sql.fetch(query, tenant.tenant_id)]


async def completed(system: RunningSystem, *requests: LeadRequested) -> None:
    for each in requests:
        assert "completed" == (await system.upstream.outcome(each, "completed")).event


async def opened(system: RunningSystem, letter: dict[str, Any]) -> Any:
    return (await leadsaga(system, "dead-letters", "show", letter["dead_letter_id"], "--json")).json


async def test_what_kills_or_fails_a_postgres_step_is_parked_alone_and_goes_on_when_that_is_mended(
    system: RunningSystem,
) -> None:
    tenant, step = await system.tenant(), "record_usage"
    first, kills, fails, last = requests = asking(tenant, f"kills {step}", f"fails {step}")
    async with without(system, step):
        await asked(system, requests, step)
        await bundled(system, step, len(requests))
        async with with_killable(system, step):
            for each in (kills, fails):
                assert step == (await system.upstream.outcome(each, "parked")).step
            await completed(system, first, last)

    letters = {letter["error"]: letter for letter in await letters_of(system, tenant)}
    poison, spent = letters.pop("Poison"), letters.pop("OutOfOrder")
    assert ({}, {"open"}, {step}) == (
        letters, {poison["status"], spent["status"]}, {poison["step"], spent["step"]},
    )  # fmt: skip
    assert (POISON, 1, "not today", 8) == (
        poison["reason"], poison["attempt"], spent["reason"], spent["attempt"],
    )  # fmt: skip
    shown = await opened(system, poison)
    assert (f"poison: {POISON}", "open", 4) == (
        shown["why"], shown["effect"]["state"], shown["effect"]["starts"],
    )  # fmt: skip
    shown = await opened(system, spent)
    tried = [(each["attempt"], each["answer"], each["error"]) for each in shown["attempts"]]
    assert [(number, "transient", "OutOfOrder") for number in range(1, 9)] == tried
    assert shown["why"].endswith("8 attempts failed: OutOfOrder 8 times")

    for letter in (poison, spent):  # the real step runs again
        name = letter["dead_letter_id"]
        ran = await leadsaga(system, "dead-letters", "replay", name, "--reason", "mended", "--json")
        assert (0, "done") == (ran.code, ran.json["result"]), ran
    await completed(system, kills, fails)
    assert {"replayed"} == {letter["status"] for letter in await letters_of(system, tenant)}
    assert 3 * len(requests) == await system.ledger(tenant)


async def test_what_kills_a_vendor_step_fails_alone_and_nobody_beside_it_is_taken_for_it(
    system: RunningSystem,
) -> None:
    """In its bundle, and side by side with it: these die with it each time, and are begun as often."""
    tenant, step = await system.tenant(), "generate_leads"
    first, kills, last = requests = asking(tenant, f"kills {step}")
    neighbours = [lead_request(tenant) for _ in range(3)]
    for each in neighbours:
        await system.sandbox.fault("anthropic.messages", match=each.request_id, delay_seconds=SLOW)
    async with without(system, step):
        await asked(system, requests, step)
        await bundled(system, step, len(requests))
        await asked(system, neighbours, step)
        async with with_killable(system, step):
            failed = await system.upstream.outcome(kills, "failed")
            await completed(system, first, last, *neighbours)

    assert POISON == failed.reason
    (letter,) = await letters_of(system, tenant)
    assert ("Poison", POISON, "moot", step, "do") == tuple(
        letter[name] for name in ("error", "reason", "status", "step", "direction")
    )
    assert kills.request_id in bytes(letter["message"]).decode()
    assert (15, 0) == (await system.ledger(tenant), await system.held(tenant))
