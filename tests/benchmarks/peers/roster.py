"""Who the peers are, how each is run at its best, and what of it is not equal to what we do.

Settings are the best of those that were tried on two cores. Names in braces are filled in when a peer starts:
`python` is the interpreter that has its packages, `directory` its own, `queue` a name for its queues, the
others are ports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PROGRAMS = "tests.benchmarks.peers.programs"
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"
DELAYS_OF_CELERY = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`rate`: sagas a second at which latency is taken. `engine`: what does the orchestrating beside Python;
    a process that bears this name, or the broker."""

    name: str
    module: str
    packages: tuple[str, ...]
    workers: Mapping[str, str] = field(default_factory=dict)
    """Commands by the name of the process."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    """Left behind by it, to be deleted."""
    engine: Literal["broker", "restate", "none"]
    npm: str = ""
    in_flight: int
    rate: float = 50
    settings: str
    unlike: str


RESTATE = Peer(
    name="Restate",
    module=f"{PROGRAMS}.restate_peer",
    packages=("restate-sdk", "granian"),
    workers={
        "restate": f"npx --yes {RESTATE_SERVER}",
        "service": "{python} -m granian --interface asgi --http 2 --no-ws --workers 2 --loop uvloop"
        f" --log-level warning --host 127.0.0.1 --port {{service}} {PROGRAMS}.restate_peer:app",
    },
    environment={
        "PEER_ADMIN": "{admin}",
        "PEER_INGRESS": "{ingress}",
        "PEER_SERVICE": "{service}",
        "RESTATE_BASE_DIR": "{directory}/data",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": "{fabric}",
        "RESTATE_ADMIN__BIND_PORT": "{admin}",
        "RESTATE_INGRESS__BIND_PORT": "{ingress}",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    },
    ports=("admin", "ingress", "fabric", "service"),
    engine="restate",
    npm=RESTATE_SERVER,
    in_flight=200,
    settings="a workflow of four runs, granian with HTTP/2 and uvloop, 2 processes",
    unlike="The log is its server's own (RocksDB, synced to disk), so Postgres has two commits a saga and "
    "no more. Starts are idempotent by key, and steps are tried again. The server calls a service for the "
    "steps: no queue, no process for each step. An end is the answer to the caller.",
)
TASKIQ = Peer(
    name="Taskiq",
    module=f"{PROGRAMS}.taskiq_peer",
    packages=("taskiq", "taskiq-aio-pika", "aio-pika"),
    workers={
        "worker": f"{{python}} -m taskiq worker --workers 2 --log-level WARNING {PROGRAMS}.taskiq_peer:broker"
    },
    queues=("{queue}", "{queue}.dead"),
    engine="broker",
    in_flight=200,
    settings="a task kicks the next one, quorum queue, 2 processes, prefetch 100, no results kept",
    unlike="No orchestrator, no log, no key: four messages and two commits a saga, and its state is in "
    "the messages. A start that is made twice is two sagas, a task that is done twice kicks twice, and "
    "nobody can say where a saga stands. An end is told by the last task, before its acknowledgement.",
)
CELERY = Peer(
    name="Celery",
    module=f"{PROGRAMS}.celery_peer",
    packages=("celery", "kombu", "psycopg"),
    workers={
        "worker": f"{{python}} -m celery -A {PROGRAMS}.celery_peer worker --pool prefork --concurrency 4"
        " --without-gossip --without-mingle --without-heartbeat --loglevel WARNING"
    },
    queues=("{queue}", *(f"celery_delayed_{level}" for level in range(DELAYS_OF_CELERY))),
    engine="broker",
    in_flight=200,
    settings="a chain, quorum queue, late acks, prefork 4, prefetch 64, no results kept, publishes confirmed",
    unlike="As Taskiq: no orchestrator, no log, no key; four messages and two commits a saga, and what is "
    "left of the chain is in the message.",
)
DBOS = Peer(
    name="DBOS",
    module=f"{PROGRAMS}.dbos_peer",
    packages=("dbos", "SQLAlchemy", "psycopg"),
    engine="none",
    in_flight=10,
    rate=20,
    settings="an asynchronous workflow with plain steps, begun directly, one process",
    unlike="All of it is in Postgres: the start, a row a step, the end; a writing step commits its own "
    "work apart. Starts are idempotent by key. No messages: the process that begins a saga runs it, so "
    "`python` holds the load, too. 50/s is close to the most it can do: its latency is at 20/s.",
)
PEERS = {peer.name.lower(): peer for peer in (RESTATE, TASKIQ, CELERY, DBOS)}

OURS_UNLIKE = (
    "Orchestrator and steps are apart: eight messages a saga, in bundles; a log of every step, effects "
    "kept with what the step wrote, deadlines, compensations, requests and events as upstream has them, "
    "and tenants behind forced row-level security. An end is the event `completed`, after its commit."
)
