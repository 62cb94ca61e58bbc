"""A bundle is one AMQP message that carries one or more items for the same queue.

Each item is decoded on its own: a malformed one becomes `Malformed` and stops nothing else. A message that
is a single item (as upstream services publish them) is read as a bundle of one.
"""

import json
from collections.abc import Iterator, Sequence
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

MOST_BYTES = 256_000
"""In one message of ours, unless one item alone is larger."""

TOO_MANY = f"more than {MOST_ITEMS} items"


def encode(items: Sequence[BaseModel]) -> bytes:
    return joined([item.model_dump_json().encode() for item in items])


def alone(raw: bytes) -> bytes:
    """A message that carries one item only, given as JSON."""
    return joined([raw])


def joined(raw: Sequence[bytes]) -> bytes:
    """A message that carries these items, each given as JSON."""
    return b'{"v":%d,"items":[%s]}' % (WIRE_VERSION, b",".join(raw))


def bundles(items: Sequence[BaseModel], most: int = MOST_ITEMS) -> Iterator[list[bytes]]:
    """Items as JSON, in order, as many at a time as one message may carry: at most `most`."""
    bundle: list[bytes] = []
    size = 0
    for item in items:
        raw = item.model_dump_json().encode()
        if bundle and (len(bundle) >= most or size + len(raw) > MOST_BYTES):
            yield bundle
            bundle, size = [], 0
        bundle.append(raw)
        size += len(raw)
    if bundle:
        yield bundle


def decode(body: bytes, item_type: Any) -> list[Any]:
    """Items of `item_type`, or `Malformed` in place of what cannot be understood. Never raises."""
    return decoder_of(item_type)(body)


class _Versioned(BaseModel):
    v: int = Field(strict=True, ge=WIRE_VERSION, le=WIRE_VERSION)


class _Strict(Bundle[T], Generic[T]):
    v: int = Field(strict=True, ge=WIRE_VERSION, le=WIRE_VERSION)


_VERSIONED = TypeAdapter(_Versioned)


class Decoder:
    """`decode` for items of one type."""

    def __init__(self, item_type: Any) -> None:
        self._bundle: TypeAdapter[Bundle[Any]] = TypeAdapter(_Strict[item_type])
        self._item: TypeAdapter[Any] = TypeAdapter(item_type)

    def __call__(self, body: bytes) -> list[Any]:
        try:
            items = self._at_once(body)
        except ValidationError:
            items = self._one_by_one(body)
        return items if len(items) <= MOST_ITEMS else [Malformed(body, TOO_MANY)]

    def _at_once(self, body: bytes) -> list[Any]:
        """What is as it should be, in as little time as that takes."""
        if b'"items"' in body:
            return list(self._bundle.validate_json(body).items)
        _VERSIONED.validate_json(body)
        return [self._item.validate_json(body)]

    def _one_by_one(self, body: bytes) -> list[Any]:
        try:
            return [item if isinstance(item, Malformed) else self._decode_item(item) for item in _apart(body)]
        except RecursionError:
            return [Malformed(body, "nested too deeply")]

    def _decode_item(self, item: Any) -> Any:
        raw = json.dumps(item).encode()
        try:
            return self._item.validate_json(raw)
        except ValidationError as error:
            return Malformed(raw, explain(error))


decoder_of = cache(Decoder)


def _apart(body: bytes) -> list[Any]:
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
    return items if len(items) <= MOST_ITEMS else [Malformed(body, TOO_MANY)]


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
