"""States and log entries as JSON text. What was written by an older release must stay readable.

Postgres stores no NUL character in text or jsonb: it becomes U+FFFD, the sign for an unreadable character.
"""

import re
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from orchestrator.core.log import Entry
from orchestrator.core.state import State

_STATE: TypeAdapter[State] = TypeAdapter(State)
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])
_REQUEST: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_REQUEST_OF_STATE = {"request"}

_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def state_text(state: State) -> str:
    """Without the request, which never changes and is kept beside the state."""
    return _without_nul(_STATE.dump_json(state, exclude=_REQUEST_OF_STATE, exclude_defaults=True).decode())


def read_state(text: str, request: dict[str, Any]) -> State:
    state = _STATE.validate_json(text)
    object.__setattr__(state, "request", request)  # nobody has seen it yet; to replace it copies every field
    return state


def entry_text(entry: Entry) -> str:
    return _without_nul(_ENTRY.dump_json(entry).decode())


def read_entry(text: str) -> Entry:
    return _ENTRY.validate_json(text)


def request_text(request: dict[str, Any]) -> str:
    return _without_nul(_REQUEST.dump_json(request).decode())


def read_request(text: str) -> dict[str, Any]:
    return _REQUEST.validate_json(text)


def storable(text: str) -> str:
    """Plain text as a text column can hold it."""
    return text.replace("\0", _UNREADABLE).encode("utf-8", "replace").decode()


def _without_nul(json: str) -> str:
    return _ESCAPED_NUL.sub(rf"\1{_UNREADABLE}", json) if r"\u0000" in json else json
