"""Which dead letters have the same cause: they differ only in what names or counts something."""

import hashlib
import re

_VARYING = re.compile(
    r"""
      \S+@\S+                                         # addresses
    | (?<!\w)(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)(?!\w)   # what is quoted; an apostrophe stands inside a word
    | \b[a-z]{2,10}_[A-Za-z0-9]{14,}\b                 # ids of vendors: cus_..., req_...
    | [\w.:/+-]*\d[\w.:/+-]*                           # whatever has a digit in it: ids, counts, times
    """,
    re.VERBOSE,
)


def fingerprint(queue: str, error: str, reason: str) -> str:
    """Sixteen hexadecimal digits."""
    text = "\0".join((queue, error, _VARYING.sub("#", reason)))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
