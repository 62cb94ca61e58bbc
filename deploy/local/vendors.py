"""Which vendors are real: the sandbox stands in for those that have no key. The code path is the same."""

from collections.abc import Mapping
from dataclasses import dataclass

MODEL_CALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Vendors:
    anthropic_real: bool
    stripe_real: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Vendors":
        return cls(bool(environment.get("ANTHROPIC_API_KEY")), bool(environment.get("STRIPE_API_KEY")))

    def lines(self, sandbox: str) -> list[str]:
        """Discord is real for every tenant whose webhook is."""
        return [
            f"Anthropic: {'the real one' if self.anthropic_real else f'sandbox at {sandbox}/anthropic'}",
            f"Stripe: {'the real one' if self.stripe_real else f'sandbox at {sandbox}/stripe'}",
            f"Discord: webhooks at discord.com are real, others go to the sandbox at {sandbox}/discord",
        ]

    def settings(self, sandbox: str, time_scale: float) -> dict[str, str]:
        """The limit on a model call is a limit on running work: it shrinks only with the sandbox's delays."""
        given = {"LEADSAGA_DISCORD_BASE_URL": f"{sandbox}/discord"}
        if not self.anthropic_real:
            given["LEADSAGA_ANTHROPIC_BASE_URL"] = f"{sandbox}/anthropic"
            given["LEADSAGA_MODEL_CALL_TIMEOUT"] = f"{max(MODEL_CALL_SECONDS * time_scale, 0.5):g}"
        if not self.stripe_real:
            given["LEADSAGA_STRIPE_BASE_URL"] = f"{sandbox}/stripe"
            given["LEADSAGA_STRIPE_READS_PER_SECOND"] = "1000"  # nobody there has to be spared
        return given
