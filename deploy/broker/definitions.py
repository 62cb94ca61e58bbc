"""The broker's definitions, for RabbitMQ 3.10 and 4.x to import: users, permissions, exchanges, queues,
bindings.

Imported again, they bring permissions and passwords up to date and leave messages alone. An import takes
nothing away: a user who is to go is deleted by hand (`rabbitmqctl delete_user`).
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contracts.names import REPLIES, REQUESTS, Names, heard_queue
from contracts.process.topology import dead_arguments, exchange_types, work_arguments
from deploy.broker.users import User, outcomes_queue, process_users, tenant_of, upstream_user
from steps import catalogue
from steps.runtime.step import Step

VHOST = "/"

Entry = dict[str, Any]


def all_steps() -> list[Step]:
    return [catalogue.find(name) for name in catalogue.names()]


def users(names: Names, upstream: Sequence[str]) -> list[User]:
    """Raises BadUser."""
    return [*process_users(names, all_steps()), *(upstream_user(names, name) for name in upstream)]


def definitions(
    passwords: Mapping[str, str], upstream: Sequence[str], names: Names, vhost: str = VHOST
) -> Entry:
    """`passwords` by user; `upstream`: the users of tenants. The administrator is not among them: who imports
    this is there already. Raises BadUser, and KeyError for a user without a password."""
    who = users(names, upstream)
    queues = list(_queues(names, upstream))
    return {
        "users": [_login(user.name, passwords[user.name]) for user in who],
        "permissions": [_permission(user, vhost) for user in who],
        "topic_permissions": [each for user in who for each in _topics(user, vhost)],
        "exchanges": [
            _exchange(name, str(kind.value), vhost) for name, kind in exchange_types(names).items()
        ],
        "queues": [_queue(name, arguments, vhost) for name, arguments in queues],
        "bindings": [_binding(*each, vhost) for each in _bindings(names, upstream)],
    }


def _work() -> Iterator[tuple[str, str]]:
    """Each queue that is worked on, and whose dead letters its own lie with."""
    for name in (REQUESTS, REPLIES):
        yield name, name
    for step in all_steps():
        for name in step.work():
            yield name, name
        if step.hears:
            yield heard_queue(step.name), step.name


def _queues(names: Names, upstream: Sequence[str]) -> Iterator[tuple[str, Entry]]:
    for name, grave in _work():
        if name == grave:
            yield names.dead_queue(grave), dead_arguments()
    for name, grave in _work():
        yield names.queue(name), work_arguments(names, grave)
    for name in upstream:
        yield outcomes_queue(names, name), {"x-queue-type": "quorum"}


def _bindings(names: Names, upstream: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(exchange, queue, routing key)"""
    yield names.requests_exchange, names.queue(REQUESTS), "#"
    yield names.replies_exchange, names.queue(REPLIES), REPLIES
    for name in (REQUESTS, REPLIES):
        yield names.dead_exchange, names.dead_queue(name), name
    for step in all_steps():
        for queue in step.work():
            yield names.commands_exchange, names.queue(queue), queue
            yield names.dead_exchange, names.dead_queue(queue), queue
        for event in step.hears:
            yield names.events_exchange, names.queue(heard_queue(step.name)), f"*.{event}"
    for name in upstream:
        yield names.events_exchange, outcomes_queue(names, name), f"{tenant_of(name)}.#"


def _login(name: str, password: str) -> Entry:
    return {
        "name": name,
        "password_hash": hashed(password, secrets.token_bytes(4)),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }


def hashed(password: str, salt: bytes) -> str:
    """As RabbitMQ keeps it: https://www.rabbitmq.com/docs/passwords#computing-password-hash"""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _permission(user: User, vhost: str) -> Entry:
    return {
        "user": user.name,
        "vhost": vhost,
        "configure": user.configure,
        "write": user.write,
        "read": user.read,
    }


def _topics(user: User, vhost: str) -> list[Entry]:
    return [
        {"user": user.name, "vhost": vhost, "exchange": it.exchange, "write": it.write, "read": it.read}
        for it in user.topics
    ]


def _exchange(name: str, kind: str, vhost: str) -> Entry:
    common = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    return {"name": name, "vhost": vhost, "type": kind, **common}


def _queue(name: str, arguments: Entry, vhost: str) -> Entry:
    return {"name": name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": arguments}


def _binding(exchange: str, queue: str, key: str, vhost: str) -> Entry:
    return {
        "source": exchange,
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    }
