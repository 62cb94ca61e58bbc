"""A client of the sandbox's admin routes, for demos and tests."""

from types import TracebackType
from typing import Any, Self

import httpx2


class SandboxAdmin:
    """Raises httpx2.HTTPStatusError when the sandbox refuses. Close it, or use it as a context manager."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx2.AsyncClient(base_url=base_url, timeout=10.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def fault(self, route: str, **details: Any) -> int:
        """Order a fault (see the README for its details); returns its id."""
        return int((await self._ask("POST", "/admin/faults", {"route": route, **details}))["id"])

    async def faults(self) -> list[dict[str, Any]]:
        return list((await self._ask("GET", "/admin/faults"))["faults"])

    async def clear_faults(self, fault: int | None = None) -> None:
        """Remove one fault, or all of them."""
        await self._ask("DELETE", "/admin/faults" if fault is None else f"/admin/faults/{fault}")

    async def calls(self, route: str = "*", after: int = 0) -> list[dict[str, Any]]:
        """Every request received on a route (wildcards allowed) after the `seq` given, oldest first."""
        return list(
            (await self._ask("GET", "/admin/calls", params={"route": route, "after": str(after)}))["calls"]
        )

    async def usage(self) -> list[dict[str, Any]]:
        """Per customer and meter: customer, meter, event_name, total (net), events, cancelled, dropped."""
        return list((await self._ask("GET", "/admin/stripe/usage"))["usage"])

    async def dispute(self, invoice: str, status: str = "needs_response") -> dict[str, Any]:
        """The customer disputes what they paid for an invoice, or the dispute goes on to another status."""
        return await self._ask("PUT", "/admin/stripe/disputes", {"invoice": invoice, "status": status})

    async def register_webhook(self, identity: str, token: str) -> None:
        await self._ask("PUT", "/admin/discord/webhooks", {"id": identity, "token": token})

    async def messages(self, webhook: str | None = None) -> list[dict[str, Any]]:
        """Discord messages that took effect, oldest first: webhook, received_at, body."""
        params = {} if webhook is None else {"webhook": webhook}
        return list((await self._ask("GET", "/admin/discord/messages", params=params))["messages"])

    async def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings; returns all of them as they are now."""
        return await self._ask("PUT", "/admin/settings", changes)

    async def reset(self) -> None:
        """Forget everything: objects, events, calls, faults, webhooks, messages, settings."""
        await self._ask("POST", "/admin/reset")

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        response = await self._http.request(method, path, json=body, params=params)
        response.raise_for_status()
        return dict(response.json())
