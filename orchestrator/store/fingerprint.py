"""Which dead letters have the same cause: they differ only in numbers and identifiers."""

import hashlib
import re

_VARYING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # UUIDs
    r"|\b(?=[0-9a-f]*[0-9])(?:0x)?[0-9a-f]{6,}\b"  # hexadecimal, told from a word by a digit
    r"|\d+",
    re.IGNORECASE,
)


def fingerprint(queue: str, error: str, reason: str) -> str:
    """Sixteen hexadecimal digits, stable over releases."""
    text = "\0".join((queue, error, _VARYING.sub("#", reason)))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
