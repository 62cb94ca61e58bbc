"""What a call cost, from the tokens that the provider reports. Prices are estimates in USD, never floats."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from genai_prices import Usage, calc_price, extract_usage

PROVIDER = "anthropic"
PRICE_BOOK = f"genai-prices {version('genai-prices')}"

# The provider's usage holds no model name that every price book knows: any known one makes it readable.
_ANY_MODEL = "claude-sonnet-5-5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`input_tokens` includes cache reads and writes. `usd` is None while nobody knows the model's price."""

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None
    priced_by: str | None = None
    unpriced: bool = False


NO_TOKENS_KNOWN = Cost()


def cost_of(model: str, usage: Mapping[str, Any], at: datetime) -> Cost:
    """Never raises: tokens that cannot be priced are kept, and flagged."""
    try:
        tokens = extract_usage({"model": _ANY_MODEL, "usage": dict(usage)}, provider_id=PROVIDER).usage
    except (LookupError, ValueError):
        return Cost(unpriced=True)
    usd = _price(model, tokens, at)
    return Cost(
        input_tokens=int(tokens.input_tokens),
        cache_read_tokens=int(tokens.cache_read_tokens),
        cache_write_tokens=int(tokens.cache_write_tokens),
        output_tokens=int(tokens.output_tokens),
        usd=usd,
        priced_by=None if usd is None else PRICE_BOOK,
        unpriced=usd is None,
    )


def _price(model: str, tokens: Usage, at: datetime) -> Decimal | None:
    try:
        return calc_price(tokens, model, provider_id=PROVIDER, genai_request_timestamp=at).total_price
    except (LookupError, ValueError):
        return None
