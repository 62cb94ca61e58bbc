"""The way of every vendor call: recorded, broken if so ordered, carried out in one transaction, answered."""

import asyncio

from deploy.sandbox.faults import Fault, Faults
from deploy.sandbox.state import State
from deploy.sandbox.wire import Answer, Call, RefusedError, Vendor


class Service:
    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    async def serve(self, vendor: Vendor, call: Call) -> Answer | None:
        """None = close the connection without an answer. What took effect is committed when this returns."""
        seq, fault = self._record(vendor, call)
        answer = await self._carry_out(vendor, call, fault)
        dropped = fault is not None and fault.drop is not None
        status = None if dropped or answer is None else answer.status
        with self._state.transaction():
            self._state.run(
                "UPDATE call SET status = ?, dropped = ? WHERE seq = ?", status, int(dropped), seq
            )
        return None if dropped else answer

    def _record(self, vendor: Vendor, call: Call) -> tuple[int, Fault | None]:
        key = call.headers.get("idempotency-key")
        with self._state.transaction():
            picked = self._faults.pick(call.route, call.method, call.path, call.body)
            seq = self._state.run(
                "INSERT INTO call"
                " (route, method, path, query, body, received_at, idempotency_key, identifier, fault)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(call.route, call.method, call.path, call.query, call.body, self._state.now()),
                *(key, vendor.identifier(call), picked[0] if picked else None),
            )
        return seq, picked[1] if picked else None

    async def _carry_out(self, vendor: Vendor, call: Call, fault: Fault | None) -> Answer | None:
        latency: float = getattr(self._state.settings, vendor.latency_setting)
        try:
            with vendor.hold(call):
                # Even without a delay this lets a call that arrived at the same time find the hold taken.
                await asyncio.sleep(latency + (fault.delay_seconds if fault else 0.0))
                if fault and fault.drop == "before":
                    return None
                with self._state.transaction():
                    return self._take_effect(vendor, call, fault)
        except RefusedError as refused:
            if refused.answer.kept:
                with self._state.transaction():
                    vendor.keep(call, refused.answer, replace=False)
            return refused.answer

    def _take_effect(self, vendor: Vendor, call: Call, fault: Fault | None) -> Answer:
        if fault is None or fault.status is None:
            return vendor.handle(call, fault)
        if fault.effect:
            vendor.handle(call, fault)
        failure = vendor.failure(fault.status, fault.retry_after)
        if failure.kept:
            vendor.keep(call, failure, replace=fault.effect)
        return failure
