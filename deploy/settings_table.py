"""The settings table of the README: what the classes of settings say, and what is read without one."""

import importlib
import pkgutil
from collections.abc import Iterator

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

import contracts
import orchestrator
import steps
from contracts.process.settings import PREFIX, Settings

CONCERNS = {
    "Every process": ("ProcessSettings", "BrokerSettings", "PoolSettings", "CrashSettings"),
    "The orchestrator": ("EngineSettings",),
    "The steps": (
        *("StepSettings", "AnthropicSettings", "StripeSettings", "FlushSettings", "RefundSettings"),
        "ReconcileSettings",
        *("DiscordSettings", "NoticeSettings", "SecretsSettings"),
    ),
    "The operators' tool": ("OperatorSettings", "RotationSettings", "AdminSettings", "RoleUrls"),
    "The broker's definitions": (),
    "The local launcher": (),
}
"""In this order, by class. Who reads a variable in two classes says so in both."""

WITHOUT_CLASS = {
    "The operators' tool": (
        ("LEADSAGA_ACTOR", "the user of the operating system", "Who acts, for the audit."),
        (
            "LEADSAGA_DISCORD_WEBHOOK",
            "",
            "Secret: a tenant's webhook, for `tenants add` and `tenants set --discord-webhook`.",
        ),
    ),
    "The broker's definitions": (
        (
            "LEADSAGA_BROKER_ADMIN_URL",
            "",
            "Secret: RabbitMQ's management plugin, with its administrator, for `python -m deploy.broker`.",
        ),
    ),
    "The local launcher": (
        (
            "LEADSAGA_HOME",
            "/var/lib/leadsaga for root",
            "Directory of `make up`: data, passwords, ports, logs.",
        ),
        (
            "LEADSAGA_SERVICES",
            "the first that works",
            "Where RabbitMQ and Postgres come from: urls, docker or private.",
        ),
        (
            "LEADSAGA_DATABASE_URL",
            "",
            "A Postgres to use instead of starting one, with the right to create databases and roles.",
        ),
        ("LEADSAGA_AMQP_URL", "", "A RabbitMQ to use instead of starting one."),
        ("LEADSAGA_POSTGRES_IMAGE", "`postgres:17`", "Image, when Docker is used."),
        ("LEADSAGA_RABBITMQ_IMAGE", "`rabbitmq:4-management`", "Image, when Docker is used."),
    ),
}


def settings_table() -> str:
    """A table for each concern. Raises KeyError for a class of settings that is of no concern."""
    known = _classes()
    parts = []
    for concern, names in CONCERNS.items():
        rows: dict[str, str] = {}
        for name in names:
            for field_name, field in known.pop(name).model_fields.items():
                row = f"| {_default(field)} | {_meaning(field)} |"
                rows.setdefault(_variable(field_name, field), row)
        for variable, default, meaning in WITHOUT_CLASS.get(concern, ()):
            rows[variable] = f"| {default} | {meaning} |"
        parts.append("\n".join(_table(concern, rows)))
    if known:
        raise KeyError(f"CONCERNS does not name {', '.join(sorted(known))}")
    return "\n\n".join(parts)


def _table(concern: str, rows: dict[str, str]) -> Iterator[str]:
    yield f"{concern}:"
    yield ""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for variable, row in rows.items():
        yield f"| `{variable}` {row}"


def _classes() -> dict[str, type[Settings]]:
    """By name, wherever they are defined."""
    for package in (contracts, orchestrator, steps):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return {
        each.__name__: each
        for each in Settings.__subclasses__()
        if each.__module__.partition(".")[0] in {"contracts", "orchestrator", "steps"}
    }


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + name.upper()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default in {None, ""} else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    assert field.description, f"a setting needs a docstring: {field!r}"
    return " ".join(field.description.split())
