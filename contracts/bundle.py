"""A bundle is one AMQP message that carries one or more items for the same queue.

Each item is decoded on its own: a malformed one becomes `Malformed` and stops nothing else. A message that
is a single item (as upstream services publish them) is read as a bundle of one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from contracts.model import WIRE_VERSION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Malformed:
    """An item that cannot be understood, with a reason that names no secret and quotes no value."""

    raw: bytes
    reason: str


class Bundle(BaseModel, Generic[T]):
    """The wire form, as documented for readers of the AsyncAPI document."""

    v: int = WIRE_VERSION
    items: list[T]


MOST_ITEMS = 1000
"""In one message. What claims to carry more is not one of ours, and would not fit into one transaction."""

TOO_MANY = f"more than {MOST_ITEMS} items"


def encode(items: Sequence[BaseModel]) -> bytes:
    return b'{"v":%d,"items":[%s]}' % (
        WIRE_VERSION,
        b",".join(item.model_dump_json().encode() for item in items),
    )


def alone(raw: bytes) -> bytes:
    """A message that carries one item only, given as JSON."""
    return b'{"v":%d,"items":[%s]}' % (WIRE_VERSION, raw)


def decode(body: bytes, item_type: Any) -> list[Any]:
    """Items of `item_type`, or `Malformed` in place of what cannot be understood. Never raises."""
    adapter = _bundle_of(item_type)
    try:
        items = list(adapter.validate_json(body).items)
    except ValidationError:
        pass
    else:
        return items if len(items) <= MOST_ITEMS else [Malformed(body, TOO_MANY)]
    try:
        return _one_by_one(body, item_type)
    except RecursionError:
        return [Malformed(body, "nested too deeply")]


@cache
def _bundle_of(item_type: Any) -> TypeAdapter[Bundle[Any]]:
    return TypeAdapter(_Strict[item_type])


class _Strict(Bundle[T], Generic[T]):
    v: int = Field(strict=True, ge=WIRE_VERSION, le=WIRE_VERSION)


def _one_by_one(body: bytes, item_type: Any) -> list[Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return [Malformed(body, "not JSON")]
    if not isinstance(parsed, dict):
        return [Malformed(body, "not a JSON object")]
    version = parsed.get("v")
    if type(version) is not int or version != WIRE_VERSION:
        return [Malformed(body, f"its version is not understood; this side speaks {WIRE_VERSION}")]
    items = parsed.get("items", [parsed])
    if not isinstance(items, list):
        return [Malformed(body, "items is not a list")]
    if len(items) > MOST_ITEMS:
        return [Malformed(body, TOO_MANY)]
    return [_decode_item(item, item_type) for item in items]


def _decode_item(item: Any, item_type: Any) -> Any:
    raw = json.dumps(item).encode()
    try:
        return _item(item_type).validate_json(raw)
    except ValidationError as error:
        return Malformed(raw, explain(error))


@cache
def _item(item_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(item_type)


ECHOING = {
    "union_tag_invalid": "Input is of no known kind",
    "uuid_parsing": "Input should be a valid UUID",
}
"""Faults whose usual text repeats what the sender wrote."""

FREE_FORM = {"request", "facts"}
"""Fields whose keys are the sender's own."""


def explain(error: ValidationError) -> str:
    """Where and what is wrong, one clause a fault, without echoing the sender's values."""
    faults = [
        f"{_place(fault['loc'])}: {ECHOING.get(fault['type'], fault['msg'])}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")


def _place(location: tuple[int | str, ...]) -> str:
    """The path to the fault, cut where it would go on with the sender's own keys."""
    parts = [str(part) for part in location]
    free = next((place for place, part in enumerate(parts) if part in FREE_FORM), len(parts))
    return ".".join(parts[: free + 1]) or "message"
