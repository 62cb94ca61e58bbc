"""Who may do what on the broker: a user for each process, one for the operators, one for each tenant.

RabbitMQ asks three regular expressions: what may be configured (declared, deleted), written (published to;
for queues, bound) and read (consumed; for exchanges, bound from). Nobody configures anything here, for the
topology is imported. So a tenant's user cannot make a queue that dead-letters into our exchanges, nor bind
one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.ids import ADMINISTRATION, TENANT_PATTERN
from contracts.names import REPLIES, REQUESTS, Names, heard_queue
from steps.runtime.step import Batch, Step

NOTHING = "^$"
PREFIX = "leadsaga_"
ORCHESTRATOR = f"{PREFIX}orchestrator"
OPERATOR = f"{PREFIX}operator"
TRUSTED = (ORCHESTRATOR, OPERATOR)
"""Who may ask in the name of any tenant: setting LEADSAGA_TRUSTED_USERS of the orchestrator."""

ASKED = ("lead_requested", "cancel_requested", "refund_requested")
"""What upstream services publish, by the last word of the routing key."""

ASKED_BY_US = ("tenant_requested",)
"""What users of the administration publish: a service that adds tenants, `administration.signup` for one."""

UPSTREAM = re.compile(TENANT_PATTERN.removesuffix("$") + r"(\.[a-z0-9][a-z0-9-]{0,62})?$")


class BadUser(ValueError):
    """An upstream user is named for its tenant: `acme`, or `acme.crm` for one of several services."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r}: {self.__doc__}")


@dataclass(frozen=True, slots=True)
class Topic:
    """Of a topic exchange, by routing key. Without one a user could publish under any key."""

    exchange: str
    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING
    topics: tuple[Topic, ...] = ()


def process_users(names: Names, steps: Sequence[Step]) -> list[User]:
    """`steps`: all of them, each of which has a process and a user of its own."""
    work = [queue for step in steps for queue in step.work()]
    return [_orchestrator(names, work), *(_step(names, step) for step in steps), _operator(names)]


def step_user(step: str) -> str:
    return f"{PREFIX}{step}"


def _orchestrator(names: Names, work: Sequence[str]) -> User:
    """It reads what is asked, answered and dead. It replays what died where it died: a request and a reply
    through their exchanges, an event straight into its reader's queue, which takes the default exchange."""
    dead = [names.dead_queue(queue) for queue in (REQUESTS, REPLIES, *work)]
    exchanges = (
        names.commands_exchange,
        names.events_exchange,
        names.requests_exchange,
        names.replies_exchange,
    )
    return User(
        name=ORCHESTRATOR,
        write=exactly(*exchanges, "amq.default"),
        read=exactly(names.queue(REQUESTS), names.queue(REPLIES), *dead),
    )


def _step(names: Names, step: Step) -> User:
    """It reads its own queues, answers, and buries what it cannot carry out. Only who delivers leads tells
    upstream of anything."""
    queues = [names.queue(queue) for queue in step.work()]
    heard = [names.queue(heard_queue(step.name))] if step.hears else []
    tells = any(isinstance(work, Batch) and work.announce is not None for work in step.work().values())
    exchanges = [names.replies_exchange, names.dead_exchange, *([names.events_exchange] if tells else [])]
    return User(
        name=step_user(step.name),
        write=exactly(*exchanges),
        read=exactly(*queues, *heard),
        topics=(
            Topic(names.events_exchange, write=r"\.leads_ready$" if tells else NOTHING),
            Topic(names.requests_exchange),
        ),
    )


def _operator(names: Names) -> User:
    """It asks as any tenant would, and listens to the answer in a queue of its own, which is gone with it."""
    own = r"amq\.gen-.*"
    return User(
        name=OPERATOR,
        configure=f"^{own}$",
        write=f"^({re.escape(names.requests_exchange)}|{own})$",
        read=f"^({re.escape(names.events_exchange)}|{own})$",
        topics=(
            Topic(names.requests_exchange, write=r"^[a-z0-9][a-z0-9-]*\.[a-z_]+$"),
            Topic(names.events_exchange, read=r"^[a-z0-9][a-z0-9-]*\.#$"),
        ),
    )


def upstream_user(names: Names, name: str) -> User:
    """It asks for its tenant, and reads its tenant's events in a queue that was made for it. Raises
    BadUser."""
    if UPSTREAM.fullmatch(name) is None:
        raise BadUser(name)
    return User(
        name=name,
        write=exactly(names.requests_exchange),
        read=exactly(outcomes_queue(names, name)),
        topics=(
            Topic(names.requests_exchange, write=rf"^{tenant_of(name)}\.({'|'.join(asked_by(name))})$"),
            Topic(names.events_exchange),
        ),
    )


def asked_by(upstream: str) -> tuple[str, ...]:
    return ASKED_BY_US if tenant_of(upstream) == ADMINISTRATION else ASKED


def tenant_of(upstream: str) -> str:
    return upstream.split(".", 1)[0]


def outcomes_queue(names: Names, upstream: str) -> str:
    """Where an upstream user hears what became of its tenant's requests."""
    return names.queue(f"{upstream}.outcomes")


def exactly(*what: str) -> str:
    return f"^({'|'.join(map(re.escape, what))})$"


def names_of(users: Iterable[User]) -> list[str]:
    return [user.name for user in users]
