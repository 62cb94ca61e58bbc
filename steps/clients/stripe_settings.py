"""Which Stripe account bills, and how many calls it takes."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from contracts.process.settings import Settings

SANDBOX_CALLS = 20.0
"""A second. A sandbox takes 25 requests a second in all."""

LIVE_CALLS = 500.0
"""A second. A live account takes 1,000 meter events a second, counted apart from all other requests."""

READS = 5.0
"""A second. A sandbox takes 25 requests a second of all kinds together."""

TEST_KEYS = ("sk_test_", "rk_test_")


class StripeSettings(Settings):
    model_config = SettingsConfigDict(env_ignore_empty=True, validate_by_name=True, validate_by_alias=True)

    stripe_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("STRIPE_API_KEY", "LEADSAGA_STRIPE_API_KEY")
    )
    """Of the account that bills; needed unless a stand-in is set."""
    stripe_base_url: str | None = None
    """A stand-in for the vendor; it needs no key."""
    stripe_calls_per_second: float | None = Field(default=None, ge=1, le=1000)
    """Meter events that all processes together send to the account in a second, at most. Unless it is set: 20
    with a test key, 500 with a live one. Stripe takes 25 and 1,000."""
    stripe_reads_per_second: float = Field(default=READS, ge=0.1, le=1000)
    """Totals that all processes together read from the account in a second, at most; of invoices, refunds
    included, four fifths of that. Stripe takes 25 requests in all from a test account."""

    @property
    def calls_per_second(self) -> float:
        """Documented limits: docs.stripe.com, "Rate limits"."""
        if self.stripe_calls_per_second is not None:
            return self.stripe_calls_per_second
        key = self.stripe_api_key.get_secret_value() if self.stripe_api_key else ""
        return SANDBOX_CALLS if key.startswith(TEST_KEYS) else LIVE_CALLS

    @property
    def reads_per_second(self) -> float:
        return min(self.stripe_reads_per_second, self.calls_per_second)
