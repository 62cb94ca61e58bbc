"""A private RabbitMQ, with a port mapper of its own, from the binaries of this machine."""

import os
import shutil
import signal
from pathlib import Path

from deploy.local.services import ports
from deploy.local.services.answers import broker_answers, port_answers
from deploy.local.services.errors import ServerFailed
from deploy.local.services.private import Child, own, password_in, private_file, until_ready
from deploy.local.services.processes import Account, Program, end_leftover

USER = "leadsaga_admin"
# The data belongs to the node's name, so it must not change when the ports do.
NODE = "leadsaga@localhost"
PORT_NAMES = ("amqp", "management", "prometheus", "epmd", "distribution")
START_SECONDS = 120.0  # recovery of large queues after a crash included
STOP_SECONDS = 30.0
START_ATTEMPTS = 3  # another program may take a port between our look and the start

# A quorum queue declared in the last seconds before a SIGKILL comes back without a leader and never answers
# again (rabbitmq-server issue 10070). In a cluster of one, a follower is such a queue. It returns empty.
REVIVE = """
[ra:trigger_election({element(1, Member), node()})
 || Member <- ets:tab2list(ra_state), element(2, Member) =:= follower].
"""
CONTROL_SECONDS = 60.0

LARGEST_MESSAGE = 1_048_576
"""Bytes. The largest of ours are a quarter of it. A process holds a hundred messages of a queue that others
publish to, and by default RabbitMQ would take, and it would hold, 16 MiB of each."""

CONSUMER_TIMEOUT = 7_200_000
"""Milliseconds. What a process has taken may wait longer for its turn than the half hour after which RabbitMQ
takes it for lost, and closes the channel."""

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {prometheus}
default_user = {user}
default_pass = {password}
default_user_tags.administrator = true
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
max_message_size = {largest}
consumer_timeout = {timeout}
log.console = false
log.file.level = info
"""


def find_rabbitmq() -> Path | None:
    """The server's own start script; not Debian's wrapper of the same name, which insists on an account."""
    on_path = shutil.which("rabbitmq-server")
    candidates = [
        Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
        *([Path(on_path).resolve()] if on_path else []),
    ]
    for server in candidates:
        if server.name != "rabbitmq-script-wrapper" and os.access(server, os.X_OK) and find_epmd():
            return server
    return None


def find_epmd() -> Path | None:
    """Erlang's port mapper, which a node needs to start."""
    on_path = shutil.which("epmd")
    packaged = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    return Path(on_path) if on_path else next(reversed(packaged), None)


class PrivateRabbitMQ:
    """One node with the management and Prometheus plugins."""

    def __init__(self, server: Path, directory: Path, *, durable: bool) -> None:
        self._server = server
        self._directory = directory / "rabbitmq"
        self._durable = durable
        self._account = Account.for_server("rabbitmq")
        self._children: list[Child] = []
        self._ports = dict.fromkeys(PORT_NAMES, 0)
        self._password = ""

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self._password}@{ports.LOOPBACK}:{self._ports['amqp']}/"

    @property
    def management_url(self) -> str:
        return f"http://{USER}:{self._password}@{ports.LOOPBACK}:{self._ports['management']}"

    @property
    def metrics_url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self._ports['prometheus']}/metrics"

    @property
    def source(self) -> str:
        return f"private instance of RabbitMQ from {self._server}, {ports.LOOPBACK}:{self._ports['amqp']}"

    async def start(self) -> None:
        own(self._directory, self._account)
        await end_leftover(self._node(), signal.SIGTERM, STOP_SECONDS)
        await end_leftover(self._port_mapper(), None, 0)
        self._password = password_in(self._directory, self._account)
        restart = (self._directory / "data").exists()
        for attempt in range(1, START_ATTEMPTS + 1):
            self._ports = ports.remembered(self._directory / "ports.json", PORT_NAMES)
            try:
                await self._serve()
            except ServerFailed:
                if attempt == START_ATTEMPTS or all(map(ports.is_free, self._ports.values())):
                    raise
            else:
                break
        if restart:
            await self.control("eval", REVIVE)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(None)

    async def _end(self, gently: signal.Signals | None) -> None:
        """The node before the port mapper it is registered with."""
        try:
            while self._children:
                child = self._children[-1]
                await child.end(gently if child.program.name == "rabbitmq" else None, STOP_SECONDS)
                self._children.pop()
        finally:
            for child in self._children:  # interrupted: the rest goes at once
                child.kill_now()

    async def _serve(self) -> None:
        self._configure()
        try:
            self._children.append(Child(self._port_mapper()))
            await until_ready(self._children, self._port_mapper_answers, START_SECONDS)
            self._children.append(Child(self._node()))
            await until_ready(self._children, self._answers, START_SECONDS)
        except BaseException:
            await self.kill()
            raise

    async def control(self, *arguments: str) -> None:
        """Runs `rabbitmqctl` with them. Raises ServerFailed with its last words."""
        control = Child(
            self._program("rabbitmqctl", [str(self._server.with_name("rabbitmqctl")), *arguments])
        )
        self._children.append(control)
        try:
            if await control.result(CONTROL_SECONDS) != 0:
                raise control.failure()
        finally:
            await control.end()
            self._children.remove(control)

    def _configure(self) -> None:
        text = CONFIGURATION.format(
            user=USER,
            password=self._password,
            largest=LARGEST_MESSAGE,
            timeout=CONSUMER_TIMEOUT,
            **self._ports,
        )
        private_file(self._directory / "rabbitmq.conf", text, self._account)
        plugins = "[rabbitmq_management,rabbitmq_prometheus].\n"
        private_file(self._directory / "enabled_plugins", plugins, self._account)
        private_file(self._directory / "empty", "", self._account)

    async def _port_mapper_answers(self) -> bool:
        return await port_answers(ports.LOOPBACK, self._ports["epmd"])

    async def _answers(self) -> bool:
        return await broker_answers(self.url)

    def _port_mapper(self) -> Program:
        # In the foreground: it is our child and ends with us. A node would start one that outlives it.
        command = [str(find_epmd()), "-port", str(self._ports["epmd"]), "-address", ports.LOOPBACK]
        return self._program("epmd", command)

    def _node(self) -> Program:
        return self._program("rabbitmq", [str(self._server)])

    def _program(self, name: str, command: list[str]) -> Program:
        return Program(name, command, self._directory, self._environment(), self._account)

    def _environment(self) -> dict[str, str]:
        """Everything a node would otherwise take from, or leave in, the system's directories."""
        home = self._directory
        loopback = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_DIST_PORT": str(self._ports["distribution"]),
            "RABBITMQ_CONF_ENV_FILE": str(home / "empty"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "node.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
            "RABBITMQ_CTL_ERL_ARGS": loopback,
            # Makes the start script become the server instead of standing between us and it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
