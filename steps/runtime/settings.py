from pydantic import SecretStr

from contracts.process.settings import Settings


class StepSettings(Settings):
    steps_url: SecretStr
    """Postgres URL of the role leadsaga_steps."""
