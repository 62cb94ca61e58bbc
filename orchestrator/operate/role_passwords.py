"""Passwords of the roles that run, taken from the URLs that the processes use."""

import base64
import hashlib
import hmac
import re
import secrets
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from contracts.process.settings import Settings
from orchestrator.operate.collisions import patiently
from orchestrator.operate.errors import BadUsage

ROUNDS = 4096
"""Of PBKDF2, as PostgreSQL itself counts them."""

_VERIFIER = re.compile(r"^SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$")


class RoleUrls(Settings):
    engine_url: SecretStr | None = None
    """Its password, if it holds one, is what `leadsaga migrate` sets for the role leadsaga_engine."""
    steps_url: SecretStr | None = None
    """Its password, if it holds one, is what `leadsaga migrate` sets for the role leadsaga_steps."""
    operator_url: SecretStr | None = None
    """Its password, if it holds one, is what `leadsaga migrate` sets for the role leadsaga_operator."""
    reader_url: SecretStr | None = None
    """Its password, if it holds one, is what `leadsaga migrate` sets for the role leadsaga_reader."""


def passwords(urls: RoleUrls) -> dict[str, str]:
    """By role; a URL that has no password, or is of another user, sets none. Raises BadUsage."""
    found: dict[str, str] = {}
    for name in ("engine", "steps", "operator", "reader"):
        url: SecretStr | None = getattr(urls, f"{name}_url")
        if url is None:
            continue
        parts = urlsplit(url.get_secret_value())
        role = f"leadsaga_{name}"
        if parts.password and unquote(parts.username or "") == role:
            found[role] = unquote(parts.password)
            if not (found[role].isascii() and found[role].isprintable()):
                raise BadUsage(f"the password of {role} may only hold printable ASCII characters")
    return found


async def set_passwords(connection: Any, wanted: dict[str, str]) -> None:
    """The server gets verifiers, never a password: its log may keep statements."""
    for role, password in wanted.items():
        verifier = scram_verifier(password, secrets.token_bytes(16))
        assert _VERIFIER.match(verifier)
        await patiently(partial(connection.execute, f"ALTER ROLE {role} PASSWORD '{verifier}'"))


def scram_verifier(password: str, salt: bytes) -> str:
    """As PostgreSQL stores it (RFC 5802, RFC 7677); for printable ASCII, SASLprep changes nothing."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ROUNDS}:{parts[0]}${parts[1]}:{parts[2]}"
