"""Settings, one class per concern, read from the environment (prefix `LEADSAGA_`)."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)

PREFIX = "LEADSAGA_"

CLOSING_SECONDS = 5.0
"""What a process may need to end when all that it is connected to is away: it leaves the broker (2 s), breaks
its work off (1 s), and closes its publisher and its pool (1 s each)."""


class BadSettings(SystemExit):
    """Wrong or missing settings; the process does not start."""

    EXIT_CODE = 78
    """EX_CONFIG of sysexits.h."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(self.EXIT_CODE)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


def _of_scheme(*schemes: str) -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return url

    return AfterValidator(check)


AmqpUrl = Annotated[SecretStr, _of_scheme("amqp", "amqps")]
PostgresUrl = Annotated[SecretStr, _of_scheme("postgresql", "postgres")]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class ProcessSettings(Settings):
    time_scale: float = Field(default=1.0, gt=0, le=100)
    """Multiplies all waits (retries, resends, flush and notice intervals), not the limits on running work."""
    http_host: str = "127.0.0.1"
    """Address that /live, /ready and /metrics listen on."""
    http_port: int = Field(default=0, ge=0, le=65535)
    """Of /live, /ready and /metrics; 0 = none."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """debug, info, warning or error. Logs are JSON, one object a line, on standard error."""
    drain_seconds: float = Field(default=20.0, gt=0)
    """Until a process that is asked to stop has ended. All but the last 5 it may finish what it has begun."""

    @property
    def finish_seconds(self) -> float:
        """Of a short time it gets half: services are seldom away just then."""
        return max(self.drain_seconds - CLOSING_SECONDS, self.drain_seconds / 2)


class BrokerSettings(Settings):
    amqp_url: AmqpUrl
    """Of RabbitMQ 3.10 or newer, virtual host included."""
    queue_prefix: Annotated[str, Field(pattern=r"^[a-z0-9._-]{0,40}$")] = ""
    """Keeps systems apart that share a virtual host."""
    heartbeat: int = Field(default=2, ge=1, le=60)
    """Seconds between signs of life on a connection to RabbitMQ. One that is silent for three times as long,
    and 3 s more, is given up and opened anew; the broker gives up ours after twice as long."""
    publish_timeout: float = Field(default=10.0, gt=0)
    """Seconds until an unconfirmed publish counts as failed."""
    topology: Literal["declared", "imported"] = "declared"
    """declared: by the processes themselves. imported: by somebody who may, from `python -m deploy.broker`;
    the users of the processes need not be allowed to, and a process waits for what is missing."""

    @property
    def user(self) -> str:
        """Who we are to the broker."""
        return unquote(urlsplit(self.amqp_url.get_secret_value()).username or "guest")

    @property
    def passive(self) -> bool:
        """Whether queues are only looked for."""
        return self.topology == "imported"


class PoolSettings(Settings):
    pool_size: int = Field(default=8, ge=2, le=100)
    """Database connections of one process, at most."""
    statement_timeout: float = Field(default=6.0, gt=0)
    """Seconds; a statement that takes longer is ended by the database. When not even that is heard in 2 s
    more, the connection is given up, and opened anew."""


def load(settings: type[S]) -> S:
    """Reads one class. Raises BadSettings with a line for each fault, never quoting a value."""
    try:
        return settings()
    except ValidationError as error:
        raise BadSettings([_line(fault) for fault in error.errors(include_input=False)]) from None


def require(*readers: Callable[[], object]) -> None:
    """Reads everything that a process needs before it touches anything. Raises BadSettings with the faults
    of all of them, not only of the first."""
    faults: list[str] = []
    for read in readers:
        try:
            read()
        except BadSettings as error:
            faults += error.faults
    if faults:
        raise BadSettings(list(dict.fromkeys(faults)))


def _line(fault: object) -> str:
    assert isinstance(fault, dict)
    name = PREFIX + "_".join(str(part) for part in fault["loc"]).upper()
    if fault["type"] == "missing":
        return f"{name} is not set"
    return f"{name}: {fault['msg']}"
