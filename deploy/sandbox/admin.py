"""The admin's side: order faults, look at what the vendors saw, register webhooks, move the clock."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.sandbox.faults import Fault, Faults
from deploy.sandbox.state import State
from deploy.sandbox.stripe import payments
from deploy.sandbox.stripe.store import Store
from deploy.sandbox.stripe.usage import by_customer_and_meter
from deploy.sandbox.wire import RefusedError

Endpoint = Callable[[Request], Awaitable[Response]]


class Dispute(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    invoice: str
    status: str = "needs_response"


class Webhook(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    token: str


def admin_routes(state: State, faults: Faults) -> list[Route]:
    admin = Admin(state, faults)
    return [
        Route("/admin/faults", told(admin.add_fault), methods=["POST"]),
        Route("/admin/faults", told(admin.list_faults), methods=["GET"]),
        Route("/admin/faults", told(admin.remove_faults), methods=["DELETE"]),
        Route("/admin/faults/{id:int}", told(admin.remove_faults), methods=["DELETE"]),
        Route("/admin/calls", told(admin.calls), methods=["GET"]),
        Route("/admin/stripe/usage", told(admin.usage), methods=["GET"]),
        Route("/admin/stripe/disputes", told(admin.dispute), methods=["PUT"]),
        Route("/admin/discord/webhooks", told(admin.register_webhook), methods=["PUT"]),
        Route("/admin/discord/messages", told(admin.messages), methods=["GET"]),
        Route("/admin/settings", told(admin.get_settings), methods=["GET"]),
        Route("/admin/settings", told(admin.settings), methods=["PUT"]),
        Route("/admin/reset", told(admin.reset), methods=["POST"]),
    ]


def told(work: Callable[[Request], Awaitable[Any]]) -> Endpoint:
    """Answers the work's result as JSON; wrong input gets 400 with what is wrong."""

    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await work(request))
        except ValidationError as error:
            faulty = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse(
                {"errors": [{"at": fault["loc"], "message": fault["msg"]} for fault in faulty]}, 400
            )
        except RefusedError as error:
            refusal = (error.answer.body or {})["error"]["message"]
            return JSONResponse({"errors": [{"at": [], "message": refusal}]}, 400)
        except orjson.JSONDecodeError:
            return JSONResponse({"errors": [{"at": [], "message": "not JSON"}]}, 400)

    return endpoint


class Admin:
    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    async def add_fault(self, request: Request) -> Any:
        fault = Fault.model_validate(orjson.loads(await request.body()))
        with self._state.transaction():
            return {"id": self._faults.add(fault)}

    async def list_faults(self, _: Request) -> Any:
        return {"faults": self._faults.listed()}

    async def remove_faults(self, request: Request) -> Any:
        with self._state.transaction():
            self._faults.remove(request.path_params.get("id"))
        return {}

    async def calls(self, request: Request) -> Any:
        """`route` may hold wildcards; `after` (a seq) leaves out what was seen before."""
        rows = self._state.rows(
            "SELECT * FROM call WHERE route GLOB ? AND seq > ? ORDER BY seq",
            *(request.query_params.get("route", "*"), int(request.query_params.get("after", "0"))),
        )
        return {"calls": [{**dict(row), "dropped": bool(row["dropped"])} for row in rows]}

    async def usage(self, _: Request) -> Any:
        return {"usage": by_customer_and_meter(self._state)}

    async def dispute(self, request: Request) -> Any:
        said = Dispute.model_validate(orjson.loads(await request.body()))
        with self._state.transaction():
            return payments.dispute(Store(self._state), said.invoice, said.status)

    async def register_webhook(self, request: Request) -> Any:
        webhook = Webhook.model_validate(orjson.loads(await request.body()))
        with self._state.transaction():
            self._state.run("INSERT OR REPLACE INTO discord_webhook VALUES (?, ?)", webhook.id, webhook.token)
        return {"id": webhook.id}

    async def messages(self, request: Request) -> Any:
        rows = self._state.rows(
            "SELECT * FROM discord_message WHERE ?1 IS NULL OR webhook = ?1 ORDER BY seq",
            request.query_params.get("webhook"),
        )
        return {"messages": [{**dict(row), "body": json.loads(row["body"])} for row in rows]}

    async def get_settings(self, _: Request) -> Any:
        return self._state.settings.model_dump()

    async def settings(self, request: Request) -> Any:
        changes = orjson.loads(await request.body())
        return self._state.configure(changes if isinstance(changes, dict) else {"": changes}).model_dump()

    async def reset(self, _: Request) -> Any:
        self._state.reset()
        return {}
