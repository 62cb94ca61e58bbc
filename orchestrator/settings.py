"""Settings of the orchestrator and of the operators' tool, one class per concern."""

from pydantic import Field

from contracts.process.settings import PostgresUrl, Settings


class EngineSettings(Settings):
    engine_url: PostgresUrl
    """Postgres URL of the role leadsaga_engine."""
    max_in_flight: int = Field(default=1000, ge=1)
    """Sagas under way at a time, over all tenants; the rest waits its turn in the database."""
    messages_ahead: int = Field(default=400, ge=1, le=2000)
    """Requests, and replies, that a process takes from their queue before it acknowledges the first; the rest
    waits in the broker."""
    groups: int = Field(default=2, ge=1, le=16)
    """Groups handled side by side in one process."""
    group_items: int = Field(default=400, ge=1, le=2000)
    """Items in one transaction."""
    tick_seconds: float = Field(default=0.5, gt=0, le=10)
    """Between two looks at the timers; multiplied by the time scale."""
    trusted_users: str = ""
    """RabbitMQ users, separated by commas, who may ask in the name of any tenant: the orchestrator's own,
    which replays, and the operators'. When set, every request has to carry a user-id: of one of them, or of a
    user that is named for its tenant (`acme`, `acme.crm`). Empty: user-ids are not looked at."""

    @property
    def trusted(self) -> frozenset[str]:
        return frozenset(name.strip() for name in self.trusted_users.split(",") if name.strip())


class OperatorSettings(Settings):
    operator_url: PostgresUrl
    """Postgres URL of the role leadsaga_operator."""


class RotationSettings(Settings):
    steps_url: PostgresUrl
    """Postgres URL of the role leadsaga_steps; `leadsaga secrets rotate` works with it, for operators cannot
    read secrets. Its password, if it holds one, is what `leadsaga migrate` sets."""


class AdminSettings(Settings):
    database_url: PostgresUrl
    """Postgres URL of a role that may create roles and schemas; only `leadsaga migrate` uses it."""
