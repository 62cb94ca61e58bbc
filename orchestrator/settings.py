"""Settings of the orchestrator and of the operators' tool, one class per concern."""

from pydantic import Field

from contracts.process.settings import PostgresUrl, Settings


class EngineSettings(Settings):
    engine_url: PostgresUrl
    """Postgres URL of the role leadsaga_engine."""
    max_in_flight: int = Field(default=1000, ge=1)
    """Sagas under way at a time, over all tenants; the rest waits its turn in the database."""
    messages_ahead: int = Field(default=100, ge=1, le=2000)
    """Requests, and replies, that a process takes from their queue before it acknowledges the first; the rest
    waits in the broker."""
    groups: int = Field(default=2, ge=1, le=16)
    """Groups handled side by side in one process."""
    group_items: int = Field(default=200, ge=1, le=2000)
    """Items in one transaction."""
    tick_seconds: float = Field(default=0.5, gt=0, le=10)
    """Between two looks at the timers; multiplied by the time scale."""


class OperatorSettings(Settings):
    operator_url: PostgresUrl
    """Postgres URL of the role leadsaga_operator."""


class AdminSettings(Settings):
    database_url: PostgresUrl
    """Postgres URL of a role that may create roles and schemas; only `leadsaga migrate` uses it."""
