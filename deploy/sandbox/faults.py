"""Faults that an admin orders: how long, how often, on which calls, and what goes wrong."""

import json
import random
from fnmatch import fnmatchcase
from typing import Any, Literal, Self
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.sandbox.state import State


class Fault(BaseModel):
    """A delay alone is a slow success. `effect`: the status is answered although the call took effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    route: str
    method: str | None = None
    match: str | None = None
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
    delay_seconds: float = Field(default=0.0, ge=0)
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    effect: bool = False
    drop: Literal["before", "after"] | None = None
    text: str | None = None
    stop_reason: str | None = None

    @model_validator(mode="after")
    def _one_ending(self) -> Self:
        if self.drop and self.status:
            raise ValueError("a fault either answers a status or drops the connection")
        if self.effect and not self.status:
            raise ValueError("effect belongs to a fault with a status")
        if not (self.drop or self.status or self.delay_seconds or self.text is not None or self.stop_reason):
            raise ValueError("a fault needs one of delay_seconds, status, drop, text, stop_reason")
        return self

    def concerns(self, route: str, method: str, path: str, body: str) -> bool:
        """`route` may hold wildcards; `match` is sought in the path, the raw body and the decoded body."""
        if not fnmatchcase(route, self.route) or (self.method and self.method.upper() != method):
            return False
        return self.match is None or any(self.match in text for text in (path, body, unquote_plus(body)))


class Faults:
    """The ordered faults, first match wins. Runs inside the caller's transaction where it writes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, fault: Fault) -> int:
        spec = fault.model_dump_json(exclude_defaults=True)
        return self._state.run("INSERT INTO fault (spec, remaining) VALUES (?, ?)", spec, fault.times)

    def remove(self, fault: int | None) -> None:
        """One fault, or all of them."""
        self._state.run("DELETE FROM fault WHERE ?1 IS NULL OR id = ?1", fault)

    def listed(self) -> list[dict[str, Any]]:
        rows = self._state.rows("SELECT * FROM fault ORDER BY id")
        return [{**json.loads(row["spec"]), "id": row["id"], "remaining": row["remaining"]} for row in rows]

    def pick(self, route: str, method: str, path: str, body: str) -> tuple[int, Fault] | None:
        """The fault that this call meets, if any; counts it as used."""
        for row in self._state.rows(
            "SELECT * FROM fault WHERE remaining IS NULL OR remaining > 0 ORDER BY id"
        ):
            fault = Fault.model_validate_json(row["spec"])
            if not fault.concerns(route, method, path, body):
                continue
            self._state.run("UPDATE fault SET drawn = drawn + 1 WHERE id = ?", row["id"])
            # The same seed gives the same run of hits and misses, also across a restart.
            chance = random.Random(f"{fault.seed}:{row['drawn']}").random()  # noqa: S311 - no secret
            if chance < fault.probability:
                self._state.run("UPDATE fault SET remaining = remaining - 1 WHERE id = ?", row["id"])
                return row["id"], fault
        return None
