"""Idempotency keys of v1: the first result is replayed for 24 h (docs.stripe.com: idempotent requests)."""

import hashlib
import json

from deploy.sandbox.state import State
from deploy.sandbox.stripe.errors import headers, refuse
from deploy.sandbox.wire import Answer, Call

WINDOW_SECONDS = 24 * 3600
KEY_MAX_LENGTH = 255


def key_of(call: Call) -> str | None:
    """Only POST heeds the header."""
    key = call.headers.get("idempotency-key") if call.method == "POST" else None
    if key and len(key) > KEY_MAX_LENGTH:
        raise refuse(
            f"Idempotency keys can be at most {KEY_MAX_LENGTH} characters.", kind="idempotency_error"
        )
    return key or None


def replayed(state: State, call: Call) -> Answer | None:
    """The stored first answer, if any. Refuses the key with other parameters than the first time."""
    key = key_of(call)
    oldest = state.now() - WINDOW_SECONDS
    row = state.one("SELECT * FROM idempotency WHERE key = ? AND stored_at > ?", key, oldest)
    if key is None or row is None:
        return None
    if row["fingerprint"] != _fingerprint(call):
        raise refuse(
            "Keys for idempotent requests can only be used with the same parameters they were first"
            f" used with. Try using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )
    extra = {"Idempotency-Key": key, "Idempotent-Replayed": "true"}
    if row["status"] >= 400:
        # Asking again with this key can only bring the same answer.
        extra["Stripe-Should-Retry"] = "false"
    return Answer(row["status"], json.loads(row["body"]), headers(extra))


def keep(state: State, call: Call, answer: Answer, *, replace: bool) -> None:
    """Remember an answer. A live one is only overwritten by `replace`; one past its window always is."""
    key = key_of(call)
    if key is None:
        return
    now = state.now()
    if not replace and state.one(
        "SELECT 1 FROM idempotency WHERE key = ? AND stored_at > ?", key, now - WINDOW_SECONDS
    ):
        return
    state.run(
        "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)",
        *(key, _fingerprint(call), answer.status, json.dumps(answer.body), now),
    )


def _fingerprint(call: Call) -> str:
    return hashlib.sha256(f"{call.method} {call.path}\n{call.body}".encode()).hexdigest()
