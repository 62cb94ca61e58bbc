"""States and log entries as JSON text. What was written by an older release must stay readable."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from orchestrator.core.log import Entry
from orchestrator.core.state import State

_STATE: TypeAdapter[State] = TypeAdapter(State)
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def state_text(state: State) -> str:
    """Without the request, which never changes and is kept beside the state."""
    return _STATE.dump_json(replace(state, request={}), exclude_defaults=True).decode()


def read_state(text: str, request: dict[str, Any]) -> State:
    return replace(_STATE.validate_json(text), request=request)


def entry_text(entry: Entry) -> str:
    return _ENTRY.dump_json(entry).decode()


def read_entry(text: str) -> Entry:
    return _ENTRY.validate_json(text)
