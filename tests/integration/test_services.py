"""Postgres and RabbitMQ appear from nothing, survive being killed, and leave nothing behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from aio_pika.exceptions import ChannelPreconditionFailed

from deploy.local.place import temporary
from deploy.local.services import DirectoryInUse, NoServices, Services, ServiceSilent, obtain, ports, services
from deploy.local.services.answers import port_answers
from deploy.local.services.apt import replaced
from deploy.local.services.choose import Machine, sources
from deploy.local.services.docker import Containers
from deploy.local.services.errors import ImageMissing, ServicesError
from deploy.local.services.lock import locked
from deploy.local.services.postgres import PrivatePostgres, find_postgres
from deploy.local.services.processes import Identity, family, gone
from deploy.local.services.rabbitmq import LARGEST_MESSAGE, find_rabbitmq
from deploy.local.services.settings import Source, wishes

PRIVATE = {"LEADSAGA_SERVICES": "private"}
PATIENCE_SECONDS = 20.0
GIVEN = {
    "LEADSAGA_DATABASE_URL": "postgresql://someone:s3cret@127.0.0.1:1/x",
    "LEADSAGA_AMQP_URL": "amqp://someone:s3cret@127.0.0.1:1/",
}
# Tells what it starts, so that the test can act at that very moment.
PARENT = """
import asyncio, pathlib, sys
from deploy.local.services import private, services
spawn = private.spawn
def telling(program):
    child = spawn(program)
    print(program.name, flush=True)
    return child
private.spawn = telling
async def main():
    async with services(pathlib.Path(sys.argv[1]), durable=False):
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""

needs_programs = pytest.mark.skipif(
    find_postgres() is None or find_rabbitmq() is None, reason="no server programs on this machine"
)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A data directory that the servers' accounts can enter."""
    others = descendants(os.getpid())
    with temporary() as found:
        yield found
    assert [] == descendants(os.getpid(), others), "a process was left running"


def descendants(pid: int, others: Collection[Identity] = ()) -> list[Identity]:
    """That live, without `others`, which are other tests', and whatever comes of those."""
    root = Identity.of(pid)
    assert root is not None
    theirs = {member for other in others for member in family(other)}
    return [member for member in family(root)[1:] if member not in theirs and member.lives()]


def written_ports(directory: Path) -> set[int]:
    files = (directory / "postgres" / "ports.json", directory / "rabbitmq" / "ports.json")
    return {port for file in files for port in json.loads(file.read_text()).values()}


async def leave_data(running: Services) -> None:
    database = await asyncpg.connect(running.database_url)
    await database.execute("create table kept (word text); insert into kept values ('row')")
    await database.close()
    async with await aio_pika.connect(running.amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True)
        await channel.declare_queue("young", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"message", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="kept")


async def found_data(running: Services) -> tuple[str, bytes]:
    database = await asyncpg.connect(running.database_url)
    word = await database.fetchval("select word from kept")
    await database.close()
    async with await aio_pika.connect(running.amqp_url) as connection:
        queue = await (await connection.channel()).get_queue("kept")
        message = await queue.get(timeout=PATIENCE_SECONDS)
        assert message is not None
        return word, message.body


async def publish(running: Services, size: int) -> None:
    async with await aio_pika.connect(running.amqp_url) as connection:
        exchange = (await connection.channel()).default_exchange
        await exchange.publish(aio_pika.Message(bytes(size)), routing_key="nobody", mandatory=False)


async def answers(running: Services, queue: str) -> bool:
    async with await aio_pika.connect(running.amqp_url) as connection:
        found = await (await connection.channel()).get_queue(queue)
        return await found.get(fail=False, timeout=PATIENCE_SECONDS) is None


@needs_programs
async def test_killed_servers_come_back_with_their_data_and_exit_leaves_nothing(directory: Path) -> None:
    others = descendants(os.getpid())
    async with services(directory, durable=False, environment=PRIVATE) as running:
        assert running.postgres is not None
        assert running.rabbitmq is not None
        taken = written_ports(directory)
        assert set() == taken & ports.WELL_KNOWN
        await leave_data(running)
        await publish(running, LARGEST_MESSAGE)
        with pytest.raises(ChannelPreconditionFailed, match="message size"):
            await publish(running, LARGEST_MESSAGE + 1)

        await asyncio.gather(running.postgres.kill(), running.rabbitmq.kill())
        assert descendants(os.getpid(), others) == []
        assert [False] * len(taken) == [await port_answers(ports.LOOPBACK, port) for port in taken]

        await asyncio.gather(running.postgres.start(), running.rabbitmq.start())
        assert await found_data(running) == ("row", b"message")
        assert await answers(running, "young"), (
            "a quorum queue killed in its first seconds stays without a leader"
        )
        started = descendants(os.getpid(), others)
    assert sum(member.lives() for member in started) == 0
    assert [False] * len(taken) == [await port_answers(ports.LOOPBACK, port) for port in taken]


@needs_programs
async def test_servers_die_with_a_killed_parent_and_their_directory_stays_usable(directory: Path) -> None:
    with start_parent(directory) as parent:
        await asyncio.to_thread(read_until, parent, "ready")
        before = written_ports(directory)
        servers = descendants(parent.pid)
        parent.kill()
    assert len(servers) > 3
    assert await gone(servers, PATIENCE_SECONDS)

    async with services(directory, durable=False, environment=PRIVATE):
        assert before == written_ports(directory)


@needs_programs
@pytest.mark.parametrize("moment", ["initdb", "epmd", "rabbitmq"])
async def test_an_interruption_while_servers_start_leaves_no_process(directory: Path, moment: str) -> None:
    with start_parent(directory) as parent:
        await asyncio.to_thread(read_until, parent, moment)
        servers = descendants(parent.pid)
        parent.send_signal(signal.SIGINT)
        await asyncio.to_thread(parent.communicate, timeout=PATIENCE_SECONDS)
    assert await gone(servers, PATIENCE_SECONDS)
    assert pid_files(directory) == []


def pid_files(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("*/*.pid") if path.name != "node.pid"]


def start_parent(directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, **PRIVATE, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", PARENT, str(directory)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def read_until(parent: subprocess.Popen[str], word: str) -> None:
    assert parent.stdout is not None
    for line in parent.stdout:
        if line.strip() == word:
            return
    pytest.fail(f"the parent ended before it said {word}")


@needs_programs
async def test_a_server_that_an_earlier_run_left_running_is_ended_first(directory: Path) -> None:
    binaries, others = find_postgres(), descendants(os.getpid())
    assert binaries is not None
    left_running = PrivatePostgres(binaries, directory, durable=False)
    successor = PrivatePostgres(binaries, directory, durable=False)
    await left_running.start()
    old = descendants(os.getpid(), others)
    await successor.start()
    assert sum(member.lives() for member in old) == 0
    assert left_running.url == successor.url
    await left_running.stop()
    await successor.stop()


async def test_a_directory_serves_one_system_at_a_time(directory: Path) -> None:
    with locked(directory), pytest.raises(DirectoryInUse):
        async with services(directory, environment=PRIVATE):
            pytest.fail("two systems share a directory")


def machine(*, docker: bool = False, programs: bool = False, can_install: bool = False) -> Machine:
    found = Path("/usr/bin/true") if programs else None
    finders = {"Postgres": lambda: found, "RabbitMQ": lambda: found}
    return Machine(docker=docker, can_install=can_install, binaries=finders, say=lambda _: None)


@pytest.mark.parametrize(
    ("environment", "offer", "expected"),
    [
        (GIVEN, machine(docker=True, programs=True), [Source.URLS]),
        ({}, machine(docker=True, programs=True, can_install=True), [Source.DOCKER, Source.PRIVATE]),
        ({}, machine(docker=True, can_install=True), [Source.DOCKER, Source.PACKAGES]),
        ({}, machine(programs=True, can_install=True), [Source.PRIVATE]),
        ({}, machine(), []),
        ({**GIVEN, **PRIVATE}, machine(docker=True, programs=True), [Source.PRIVATE]),
        ({"LEADSAGA_SERVICES": "docker"}, machine(programs=True), []),
        ({"LEADSAGA_SERVICES": "urls"}, machine(docker=True, programs=True), []),
    ],
)
def test_the_first_source_that_can_work_is_tried_first(
    environment: dict[str, str], offer: Machine, expected: list[Source]
) -> None:
    asked = wishes(environment)
    assert expected == list(sources(asked.postgres, offer))
    assert expected == list(sources(asked.rabbitmq, offer))


def test_each_service_is_decided_separately() -> None:
    asked = wishes({"LEADSAGA_AMQP_URL": GIVEN["LEADSAGA_AMQP_URL"]})
    offer = machine(programs=True)
    assert sources(asked.postgres, offer) == (Source.PRIVATE,)
    assert sources(asked.rabbitmq, offer) == (Source.URLS,)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ServicesError, match="LEADSAGA_SERVICES must be one of urls, docker, private"):
        wishes({"LEADSAGA_SERVICES": "cloud"})


async def test_a_given_service_that_does_not_answer_is_named_without_its_password(directory: Path) -> None:
    with pytest.raises(ServiceSilent, match=r"127\.0\.0\.1:1/") as failure:
        async with services(directory, environment=GIVEN):
            pytest.fail("nobody answers there")
    assert "s3cret" not in str(failure.value)


async def test_without_any_source_the_ways_out_are_listed(directory: Path) -> None:
    with pytest.raises(NoServices) as failure:
        async with obtain.obtained(wishes({}).rabbitmq, machine(), obtain.Place(directory, durable=False)):
            pytest.fail("there is no broker")
    assert str(failure.value).count("\n  - ") == 4
    assert "LEADSAGA_AMQP_URL" in str(failure.value)


@needs_programs
async def test_without_the_image_the_next_source_is_used_and_it_is_said(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_image(_: Containers) -> None:
        raise ImageMissing("Docker has no image postgres:17 and cannot pull it")

    monkeypatch.setattr(Containers, "postgres", no_image)
    said: list[str] = []
    offer = Machine(docker=True, can_install=False, binaries={"Postgres": find_postgres}, say=said.append)
    place = obtain.Place(directory, durable=False)
    async with obtain.obtained(wishes({}).postgres, offer, place) as postgres:
        assert postgres.source.startswith("private instance of PostgreSQL")
        assert "leadsaga_admin" not in repr(postgres)
    assert said == ["Postgres: Docker has no image postgres:17 and cannot pull it"]


def test_ports_stay_the_same_until_another_program_takes_one(tmp_path: Path) -> None:
    file, names = tmp_path / "ports.json", ("one", "two")
    first = ports.remembered(file, names)
    assert first == ports.remembered(file, names)
    with socket.create_server((ports.LOOPBACK, first["one"])):
        second = ports.remembered(file, names)
    assert first["one"] != second["one"]
    assert second == ports.remembered(file, names)


@pytest.mark.parametrize("before", ["exit 0\n", None])
def test_a_system_switch_is_put_back_even_after_a_killed_run(tmp_path: Path, before: str | None) -> None:
    switch = tmp_path / "policy-rc.d"
    if before is not None:
        switch.write_text(before)
    replaced(switch, lambda _: "exit 101\n", mode=0o755).__enter__()  # a run that never gets to its end
    with replaced(switch, lambda text: f"{text}exit 101\n", mode=0o755):
        assert f"{before or ''}exit 101\n" == switch.read_text()
        assert switch.stat().st_mode & 0o777 == 0o755
    assert before == (switch.read_text() if switch.exists() else None)
    assert ([] if before is None else ["policy-rc.d"]) == [path.name for path in tmp_path.iterdir()]
