"""Results as JSON, and database rows as results."""

import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Pure ASCII, so that no text of a tenant can steer a terminal through it. Money becomes a string."""
    return json.dumps(value, default=_plain, ensure_ascii=True, indent=indent)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        computed = [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: getattr(value, name) for name in [*(field.name for field in fields(value)), *computed]}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def rows(kind: type[T], records: Iterable[Any]) -> list[T]:
    """One object a record; the columns of the statement are the fields of the class."""
    return [kind(**dict(record)) for record in records]
