"""Secrets at rest: sealed with a key from the settings, for one purpose and one tenant.

AES-256-GCM, with a fresh nonce of 96 bits each time. What is sealed opens only for the owner that it was
sealed for: copied into another tenant's row it is as broken as if it had been changed. A key goes by an id
that tells nothing of it, so that the database can name the keys that it needs (table secret_keys).
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr
from pydantic_settings import SettingsConfigDict

from contracts.process.settings import BadSettings, Settings, load

KEY_BYTES, NONCE_BYTES = 32, 12


def _is_key(given: SecretStr) -> SecretStr:
    text = given.get_secret_value()
    if len(text) != 2 * KEY_BYTES or not set(text) <= set("0123456789abcdefABCDEF"):
        raise ValueError(f"must be {2 * KEY_BYTES} hexadecimal digits, as `openssl rand -hex 32` makes them")
    return given


HexKey = Annotated[SecretStr, AfterValidator(_is_key)]


class SecretsSettings(Settings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    secrets_key: HexKey
    """Secret, 64 hexadecimal digits (`openssl rand -hex 32`): seals and opens the webhooks that are stored.
    For the step notify_discord, and for the tool when it is given a webhook or rotates keys."""
    secrets_second_key: HexKey | None = None
    """Secret: opens, and never seals. During a rotation first the key to come, then the one before."""


class CannotOpen(Exception):
    """the sealed secret was changed, or belongs to somebody else, or its key is not set here"""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True)
class Sealed:
    """As it is stored. `key_id` names the key that opens it."""

    key_id: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The first seals, each opens."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, settings: SecretsSettings) -> "Keys":
        given = (settings.secrets_key, settings.secrets_second_key)
        return cls(tuple(bytes.fromhex(key.get_secret_value()) for key in given if key is not None))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(key_id(key) for key in self.keys)

    def seal(self, secret: str, owner: str) -> Sealed:
        """`owner` says what it is and whose; the same words open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = _cipher(self.keys[0]).encrypt(nonce, secret.encode(), owner.encode())
        return Sealed(self.ids[0], nonce + sealed)

    def open(self, it: Sealed, owner: str) -> str:
        """Raises CannotOpen."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as in _cipher

        nonce, sealed = it.sealed[:NONCE_BYTES], it.sealed[NONCE_BYTES:]
        for key in self.keys:
            if key_id(key) == it.key_id:
                try:
                    return str(_cipher(key).decrypt(nonce, sealed, owner.encode()).decode())
                except (InvalidTag, ValueError):
                    break
        raise CannotOpen


def webhook_of(tenant_id: str) -> str:
    """The owner of a tenant's Discord webhook."""
    return f"discord_webhook {tenant_id}"


def key_id(key: bytes) -> str:
    return hmac.digest(key, b"leadsaga key id", hashlib.sha256).hex()[:16]


def keys() -> Keys:
    """Of this process. Raises BadSettings."""
    return Keys.of(load(SecretsSettings))


def _cipher(key: bytes) -> Any:
    # Only who handles a secret needs the library, and most processes and commands never do.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key)


def refuse_unknown(needed: Iterable[str], known: Keys) -> None:
    """`needed`: ids of the keys that seal something in the database. Raises BadSettings."""
    unknown = [key for key in needed if key not in known.ids]
    if unknown:
        here = f"LEADSAGA_SECRETS_KEY nor LEADSAGA_SECRETS_SECOND_KEY (here: {', '.join(known.ids)})"
        raise BadSettings([f"the database holds secrets under {', '.join(unknown)}, which is neither {here}"])
