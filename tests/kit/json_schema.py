"""As much of JSON Schema as ours use; what is not understood is an error, never a yes."""

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
SAYS_NOTHING = {"title", "description", "default", "discriminator", "format", "$defs"}
"""`format` is left to the reader: the standard makes it a note."""
SAYS_SOMETHING_OF = {
    "required": dict,
    "properties": dict,
    "additionalProperties": dict,
    "items": list,
    "maxItems": list,
    "pattern": str,
    "minLength": str,
    "maxLength": str,
    "minimum": (int, float),
    "maximum": (int, float),
    "exclusiveMinimum": (int, float),
}
"""A rule about one type of values is kept by all others."""


def faults(schema: Schema, value: Any, root: Schema | None = None, place: str = "it") -> Iterator[str]:
    """Why the value does not obey the schema."""
    root = root or schema
    for rule, wanted in schema.items():
        if rule not in SAYS_NOTHING and isinstance(value, SAYS_SOMETHING_OF.get(rule, object)):
            yield from _faults(rule, wanted, schema, value, root, place)


def _faults(rule: str, wanted: Any, schema: Schema, value: Any, root: Schema, place: str) -> Iterator[str]:
    match rule:
        case "$ref":
            yield from faults(root["$defs"][wanted.rpartition("/")[2]], value, root, place)
        case "anyOf" | "oneOf":
            fitting = [each for each in wanted if not any(faults(each, value, root, place))]
            if not fitting or (rule == "oneOf" and len(fitting) > 1):
                yield f"{place} fits {len(fitting)} of {rule}"
        case "required":
            yield from (f"{place}.{name} is missing" for name in wanted if name not in value)
        case "properties":
            for name in wanted.keys() & value.keys():
                yield from faults(wanted[name], value[name], root, f"{place}.{name}")
        case "additionalProperties":
            others = value.keys() - schema.get("properties", {}).keys()
            for name in others if isinstance(wanted, dict) else ():
                yield from faults(wanted, value[name], root, f"{place}.{name}")
            if wanted is False:
                yield from (f"{place}.{name} is not allowed" for name in others)
        case "items":
            for number, item in enumerate(value):
                yield from faults(wanted, item, root, f"{place}[{number}]")
        case _:
            if not _holds(rule, wanted, value):
                yield f"{place}: {rule} {wanted!r} does not hold"


def _holds(rule: str, wanted: Any, value: Any) -> bool:
    match rule:
        case "type":
            numeric = wanted in {"integer", "number"}
            return isinstance(value, TYPES[wanted]) and not (numeric and isinstance(value, bool))
        case "const":
            return bool(value == wanted)
        case "enum":
            return value in wanted
        case "pattern":
            return re.search(wanted, value) is not None
        case "minLength":
            return len(value) >= wanted
        case "maxLength" | "maxItems":
            return len(value) <= wanted
        case "minimum":
            return bool(value >= wanted)
        case "maximum":
            return bool(value <= wanted)
        case "exclusiveMinimum":
            return bool(value > wanted)
        case _:
            raise NotImplementedError(rule)
