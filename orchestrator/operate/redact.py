"""What may be shown of a message: its content is a tenant's."""

import json
from typing import Any

KEPT = frozenset(
    {"v", "type", "kind", "event", "saga", "step", "direction", "tenant_id", "saga_id", "request_id"}
    | {"refund_id", "language", "error", "currency"}
)
"""Keys whose values name things; the texts of all others are shortened."""

SHOWN_OF_TEXT = 12
LONGEST_NAME = 100


def redacted(message: bytes) -> Any:
    """Keys, numbers and names stay; of other texts the beginning and the length. None if it is not JSON."""
    try:
        return _redact(json.loads(message), "")
    except (ValueError, RecursionError):
        return None


def _redact(value: Any, key: str) -> Any:
    match value:
        case dict():
            return {name[:LONGEST_NAME]: _redact(each, name) for name, each in value.items()}
        case list():
            return [_redact(each, key) for each in value]
        case str():
            return _shortened(value, LONGEST_NAME if key in KEPT else SHOWN_OF_TEXT)
        case _:
            return value


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
