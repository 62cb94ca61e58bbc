"""Stripe's form encoding: bracketed names become nested maps; unknown and wrong parameters are refused."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.wire import Json

NAME_PARTS = re.compile(r"[^\[\]]+")
# Accepted by every endpoint; expanding is not done, objects are answered with ids.
ALWAYS = ("expand",)


def decode(text: str) -> Json:
    tree: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        parts = NAME_PARTS.findall(name)
        if not parts:
            continue
        branch = tree
        for part in parts[:-1]:
            inner = branch.setdefault(part, {})
            if not isinstance(inner, dict):
                raise refuse(f"Invalid object: {name}", param=name)
            branch = inner
        branch[parts[-1]] = value
    return tree


def as_rows(value: Any) -> list[Any]:
    """A list is sent as a map with the keys 0, 1, ..."""
    if not isinstance(value, dict) or not all(key.isdigit() for key in value):
        raise refuse("Invalid array")
    return [value[key] for key in sorted(value, key=int)]


class Form:
    """The parameters of one request, or of one map inside it (then `prefix` names it in errors)."""

    def __init__(self, values: Json, prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix

    def only(self, required: str = "", optional: str = "") -> None:
        """Both are names separated by blanks."""
        for name in required.split():
            if self._values.get(name) in (None, ""):
                raise refuse(
                    f"Missing required param: {self._full(name)}.",
                    code="parameter_missing",
                    param=self._full(name),
                )
        for name in self._values.keys() - {*required.split(), *optional.split(), *ALWAYS}:
            raise refuse(
                f"Received unknown parameter: {self._full(name)}",
                code="parameter_unknown",
                param=self._full(name),
            )

    def has(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def text(self, name: str, limit: int = 5_000) -> str | None:
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise refuse(f"Invalid string: {self._full(name)}", param=self._full(name))
        if len(value) > limit:
            text = f"Invalid string: must be at most {limit} characters"
            raise refuse(text, code="parameter_invalid_string_length", param=self._full(name))
        return value

    def needed(self, name: str, limit: int = 5_000) -> str:
        value = self.text(name, limit)
        if value is None:
            raise refuse(
                f"Missing required param: {self._full(name)}.",
                code="parameter_missing",
                param=self._full(name),
            )
        return value

    def one_of(self, name: str, *choices: str) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            raise refuse(
                f"Invalid {self._full(name)}: must be one of {', '.join(choices)}", param=self._full(name)
            )
        return value

    def integer(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,18}", value):
            raise refuse(
                f"Invalid integer: {value}", code="parameter_invalid_integer", param=self._full(name)
            )
        return int(value)

    def needed_integer(self, name: str) -> int:
        self.needed(name)
        value = self.integer(name)
        assert value is not None
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Finite and with at most 12 decimal places."""
        value = self.text(name)
        if value is None:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -12:
            raise refuse(f"Invalid decimal: {value}", param=self._full(name))
        return number

    def flag(self, name: str) -> bool:
        return self.one_of(name, "true", "false") == "true"

    def inner(self, name: str) -> "Form":
        value = self._values.get(name) or {}
        if not isinstance(value, dict):
            raise refuse("Invalid object", param=self._full(name))
        return Form(value, self._full(name))

    def rows(self, name: str) -> list["Form"]:
        rows = as_rows(self._values.get(name) or {})
        return [
            Form(row if isinstance(row, dict) else {}, f"{self._full(name)}[{at}]")
            for at, row in enumerate(rows)
        ]

    def strings(self) -> dict[str, str]:
        """The whole map, when all its values are strings."""
        for name, value in self._values.items():
            if not isinstance(value, str):
                raise refuse("Invalid string", param=self._full(name))
        return dict(self._values)

    def metadata(self) -> dict[str, str]:
        return self.inner("metadata").strings()

    def _full(self, name: str) -> str:
        return f"{self._prefix}[{name}]" if self._prefix else name
