from contracts.process.settings import PostgresUrl, Settings


class StepSettings(Settings):
    steps_url: PostgresUrl
    """Postgres URL of the role leadsaga_steps."""
