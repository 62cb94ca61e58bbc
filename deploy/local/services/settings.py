"""Which services are wanted, as the environment says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from deploy.local.services.errors import ServicesError


class Source(StrEnum):
    """Where services come from. LEADSAGA_SERVICES forces one of the first three."""

    URLS = "urls"
    DOCKER = "docker"
    PRIVATE = "private"
    PACKAGES = "packages"  # installs, then PRIVATE


FORCEABLE = (Source.URLS, Source.DOCKER, Source.PRIVATE)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the settings ask for one service."""

    service: str
    url: str | None = field(repr=False)
    url_setting: str
    image: str
    packages: tuple[str, ...]
    forced: Source | None


@dataclass(frozen=True, slots=True)
class Wishes:
    postgres: Wish
    rabbitmq: Wish


def wishes(environment: Mapping[str, str]) -> Wishes:
    """Raises ServicesError when LEADSAGA_SERVICES is not one of its values."""
    forced = _forced(environment.get("LEADSAGA_SERVICES", ""))
    return Wishes(
        postgres=Wish(
            service="Postgres",
            url=environment.get("LEADSAGA_DATABASE_URL") or None,
            url_setting="LEADSAGA_DATABASE_URL",
            image=environment.get("LEADSAGA_POSTGRES_IMAGE") or "postgres:17",
            packages=("postgresql",),
            forced=forced,
        ),
        rabbitmq=Wish(
            service="RabbitMQ",
            url=environment.get("LEADSAGA_AMQP_URL") or None,
            url_setting="LEADSAGA_AMQP_URL",
            image=environment.get("LEADSAGA_RABBITMQ_IMAGE") or "rabbitmq:4-management",
            packages=("rabbitmq-server",),
            forced=forced,
        ),
    )


def _forced(value: str) -> Source | None:
    if not value:
        return None
    if value not in FORCEABLE:
        raise ServicesError(f"LEADSAGA_SERVICES must be one of {', '.join(FORCEABLE)}; it is {value!r}")
    return Source(value)
