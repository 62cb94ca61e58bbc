"""Stripe's objects as JSON documents, with ids of the usual form."""

import json
import secrets
import string
from collections.abc import Callable

from deploy.sandbox.state import State
from deploy.sandbox.stripe.errors import missing, refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.wire import Json

ALPHABET = string.ascii_letters + string.digits
ID_LENGTH = 24
PAGE_PARAMS = "limit starting_after ending_before"


class Store:
    """Runs inside the caller's transaction."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def now(self) -> int:
        return int(self.state.now())

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))

    def create(self, kind: str, body: Json, owner: str | None = None) -> Json:
        """`owner` is the id by which lists of this kind are filtered, mostly the customer."""
        text = json.dumps(body, ensure_ascii=False)
        self.state.run(
            "INSERT INTO stripe_object (kind, id, owner, body) VALUES (?, ?, ?, ?)",
            kind,
            body["id"],
            owner,
            text,
        )
        return body

    def save(self, body: Json) -> Json:
        text = json.dumps(body, ensure_ascii=False)
        self.state.run("UPDATE stripe_object SET body = ? WHERE id = ?", text, body["id"])
        return body

    def find(self, kind: str, identity: str) -> Json | None:
        row = self.state.one("SELECT body FROM stripe_object WHERE kind = ? AND id = ?", kind, identity)
        return None if row is None else dict(json.loads(row["body"]))

    def get(self, kind: str, identity: str, param: str | None = None) -> Json:
        """Refuses an unknown id, and that of a deleted object: with 400 if a parameter `param` named it, with
        404 if the path did."""
        body = self.find(kind, identity)
        if body is None or body.get("deleted"):
            raise missing(kind, identity, param)
        return body

    def all(self, kind: str, owner: str | None = None) -> list[Json]:
        """Newest first."""
        rows = self.state.rows(
            "SELECT body FROM stripe_object WHERE kind = ?1 AND (?2 IS NULL OR owner = ?2) ORDER BY seq DESC",
            kind,
            owner,
        )
        return [dict(json.loads(row["body"])) for row in rows]


def page(items: list[Json], url: str, form: Form, shown: Callable[[Json], Json] = lambda item: item) -> Json:
    """One page of a list, by Stripe's cursors; 10 items unless `limit` (1 to 100) says otherwise."""
    limit = form.integer("limit") or 10
    if not 1 <= limit <= 100:
        raise refuse("Invalid integer: limit must be between 1 and 100", param="limit")
    ids = [item["id"] for item in items]
    start, stop = 0, len(items)
    if (cursor := form.text("starting_after")) is not None:
        start = _position(ids, cursor, "starting_after") + 1
    if (cursor := form.text("ending_before")) is not None:
        stop = _position(ids, cursor, "ending_before")
        start = max(start, stop - limit)
    chosen = items[start:stop][:limit]
    more = start > 0 if form.has("ending_before") else start + limit < stop
    return {"object": "list", "url": url, "has_more": more, "data": [shown(item) for item in chosen]}


def whole(items: list[Json], url: str) -> Json:
    """A list embedded in an object."""
    return {"object": "list", "url": url, "has_more": False, "total_count": len(items), "data": items}


def _position(ids: list[str], cursor: str, param: str) -> int:
    if cursor not in ids:
        raise refuse(f"No such object: '{cursor}'", code="resource_missing", param=param)
    return ids.index(cursor)
