"""Stripe's error bodies and headers (docs.stripe.com: errors, error codes, rate limits)."""

import secrets

from deploy.sandbox.wire import Answer, Json, RefusedError


def headers(extra: dict[str, str] | None = None) -> dict[str, str]:
    return {"Request-Id": f"req_{secrets.token_hex(7)}", **(extra or {})}


def refuse(  # noqa: PLR0913 - the fields of Stripe's error object
    message: str,
    *,
    status: int = 400,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    extra: dict[str, str] | None = None,
    kept: bool = False,
) -> RefusedError:
    """`kept`: the endpoint had begun to execute, so this answer is replayed for the same idempotency key."""
    error: Json = {"type": kind, "message": message, "code": code, "param": param}
    body = {"error": {name: value for name, value in error.items() if value is not None}}
    return RefusedError(Answer(status, body, headers(extra), kept))


def missing(kind: str, identity: str, param: str | None = None) -> RefusedError:
    """404 for an object named by the path, 400 for one named by a parameter, as Stripe does."""
    return refuse(
        f"No such {kind}: '{identity}'",
        status=400 if param else 404,
        code="resource_missing",
        param=param or "id",
    )


def lock_timeout() -> RefusedError:
    return refuse(
        "This object cannot be accessed right now because another API request or Stripe process is currently"
        " accessing it.",
        status=429,
        code="lock_timeout",
        extra={"Stripe-Should-Retry": "true", "Stripe-Rate-Limited-Reason": "resource-specific"},
    )


def failure(status: int, retry_after: float | None) -> Answer:
    """A 500 comes from an endpoint that had begun, so it is kept; 502 to 504 come from in front of it."""
    extra = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    if status == 429:
        extra["Stripe-Rate-Limited-Reason"] = "global-rate"
        return refuse("Request rate limit exceeded.", status=429, code="rate_limit", extra=extra).answer
    if status == 500:
        extra["Stripe-Should-Retry"] = "false"
    if status >= 500:
        return refuse(
            "An unknown error occurred.", status=status, kind="api_error", extra=extra, kept=status == 500
        ).answer
    if status == 409:
        return in_use("unknown").answer
    kind = "card_error" if status == 402 else "invalid_request_error"
    return refuse(
        f"The request was refused with status {status}.", status=status, kind=kind, extra=extra
    ).answer


def in_use(key: str) -> RefusedError:
    return refuse(
        f"There is currently another in-progress request using this Stripe-Idempotency-Key ({key}).",
        status=409,
        kind="idempotency_error",
        code="idempotency_key_in_use",
    )
