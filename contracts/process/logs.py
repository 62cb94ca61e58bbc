"""JSON logs, one object a line. `service` is in every line; a line about a saga, step or tenant names it."""

import asyncio
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

SECRET_WORDS = (
    *("password", "passwords", "secret", "secrets", "token", "api_key", "authorization"),
    *("url", "urls", "dsn", "webhook"),
)
"""Whole words of a name, as `_` divides it: `amqp_url` is one, `input_tokens` counts."""


def configure(service: str, level: str = "info") -> None:
    """To be called inside the event loop."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    asyncio.get_running_loop().set_exception_handler(stray)
    # Libraries log their own way; only what they warn of is of interest, and never their message bodies.
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(levelname)s: %(message)s", force=True)
    for chatty in ("aio_pika", "aiormq", "httpx", "httpx2", "stripe", "faststream"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A last line of defence: values under telling names never leave the process."""
    for key in event:
        if any(f"_{word}_" in f"_{key.lower()}_" for word in SECRET_WORDS):
            event[key] = "***"
    return event


def get(name: str) -> Any:
    return structlog.get_logger(part=name)


def stray(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """What no task of ours hears of, such as a library's late failure to close a dead connection: a line like
    any other, and no trace."""
    error = context.get("exception")
    get("process").warning("stray_failure", **(fault(error) if error else {"reason": context["message"]}))


def fault(error: BaseException) -> dict[str, str]:
    """What may be logged of an exception: its class and where it was raised. Its text may quote a tenant's
    data or a secret, so it stays out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "?"
    return {"error": type(error).__name__, "where": where}
