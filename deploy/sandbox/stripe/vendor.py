"""Stripe as a vendor: who calls, idempotency, one in flight per customer and meter, then the endpoint."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress

from deploy.sandbox.faults import Fault
from deploy.sandbox.state import State
from deploy.sandbox.stripe import errors, idempotency
from deploy.sandbox.stripe.form import Form, decode
from deploy.sandbox.stripe.routes import HANDLERS
from deploy.sandbox.stripe.store import Store
from deploy.sandbox.wire import Answer, Call, Json, RefusedError


class Stripe:
    """What is in flight lives in memory: a killed server has nothing in flight."""

    latency_setting = "stripe_latency_seconds"

    def __init__(self, state: State) -> None:
        self._state = state
        self._store = Store(state)
        self._in_flight: set[Hashable] = set()

    def identifier(self, call: Call) -> str | None:
        with suppress(RefusedError):
            values = parameters(call)
            inner = values.get("cancel")
            found = values.get("identifier") or (inner.get("identifier") if isinstance(inner, dict) else None)
            return found if isinstance(found, str) else None
        return None

    @contextmanager
    def hold(self, call: Call) -> Iterator[None]:
        if not call.headers.get("authorization", "").startswith(("Bearer ", "Basic ")):
            raise errors.refuse("You did not provide an API key.", status=401)
        taken: set[Hashable] = set()
        try:
            if key := idempotency.key_of(call):
                self._take(taken, ("key", key), errors.in_use(key))
            if call.route == "stripe.meter_events":
                self._take(taken, ("meter", *metered(parameters(call))), errors.lock_timeout())
            yield
        finally:
            self._in_flight -= taken

    def handle(self, call: Call, fault: Fault | None) -> Answer:  # noqa: ARG002 - faults of this vendor are general
        if (stored := idempotency.replayed(self._state, call)) is not None:
            return stored
        handler = HANDLERS.get((call.method, call.route))
        if handler is None:
            text = f"Unrecognized request URL ({call.method}: {call.path.removeprefix('/stripe')})."
            raise errors.refuse(text, status=404)
        body = handler(self._store, Form(parameters(call)), call.ids)
        key = idempotency.key_of(call)
        answer = Answer(200, body, errors.headers({"Idempotency-Key": key} if key else None))
        idempotency.keep(self._state, call, answer, replace=False)
        return answer

    def keep(self, call: Call, answer: Answer, *, replace: bool) -> None:
        idempotency.keep(self._state, call, answer, replace=replace)

    def failure(self, status: int, retry_after: float | None) -> Answer:
        return errors.failure(status, retry_after)

    def _take(self, taken: set[Hashable], thing: Hashable, refusal: RefusedError) -> None:
        if thing in self._in_flight:
            raise refusal
        self._in_flight.add(thing)
        taken.add(thing)


def parameters(call: Call) -> Json:
    return decode(call.body if call.method == "POST" else call.query)


def metered(values: Json) -> tuple[str, str]:
    payload = values.get("payload")
    customer = payload.get("stripe_customer_id") if isinstance(payload, dict) else None
    return str(values.get("event_name")), str(customer)
