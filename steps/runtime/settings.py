from pydantic import Field

from contracts.process.settings import PostgresUrl, Settings


class StepSettings(Settings):
    steps_url: PostgresUrl
    """Postgres URL of the role leadsaga_steps."""
    bundles_ahead: int = Field(default=16, ge=1, le=100)
    """Bundles, of up to 200 commands each, that a process takes from one queue of a step that only touches
    Postgres before it acknowledges the first; what comes while one is carried out is carried out together, up
    to 400 commands at a time. The rest waits in the broker."""
    side_by_side: int = Field(default=8, ge=1, le=200)
    """Attempts of a step that calls a vendor which a process runs at a time; of one tenant three quarters of
    them. It takes eight times as many commands, so that one tenant's line holds up nobody else's."""
    visits: int = Field(default=16, ge=1, le=200)
    """Tenants at a time to whom a process sends notices, or for whom it reports usage."""
