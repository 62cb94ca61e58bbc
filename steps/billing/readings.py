"""What Stripe counts and bills, read for one tenant."""

from datetime import datetime
from functools import partial

from contracts.errors import StepError
from contracts.process import logs
from steps.billing import compare, turns
from steps.billing.books import Books, Page
from steps.billing.invoices import Invoiced, read_invoices
from steps.clients.billing import Invoice
from steps.runtime.step import Worker

log = logs.get("reconcile")

NO_METER = "Stripe has no active meter of that name"


class Unread(Exception):
    """Stripe's side could not be read."""


class Seen:
    """What was read of Stripe for one page: totals and invoices by customer, or why they could not be."""

    def __init__(self) -> None:
        self.totals: list[compare.Reading] = []
        self.invoices: list[Invoiced] = []
        self.unread: str | None = None


class Readings:
    """Reads in turn with all other processes. What fails is told, and read again next time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._meters: dict[str, str] = {}

    async def of(self, books: Books, page: Page) -> Seen:
        seen = Seen()
        try:
            for customer in page.customers:
                meter = await self._meter(page.event_name)
                total = partial(self._total, meter, customer)
                seen.totals.append(await compare.read(books, page, customer, total))
                find = partial(self._invoice, customer, page.event_name)
                if (invoiced := await read_invoices(books, page, customer, find)) is not None:
                    seen.invoices.append(invoiced)
        except (StepError, Unread) as error:
            seen.unread = error.error if isinstance(error, StepError) else str(error)
            log.warning("not_compared", event_name=page.event_name, error=seen.unread)
        return seen

    async def _meter(self, event_name: str) -> str:
        if event_name not in self._meters:
            meter = await self._worker.client.meter_of(event_name)
            if meter is None:
                raise Unread(NO_METER)
            self._meters[event_name] = meter
        return self._meters[event_name]

    async def _total(self, meter: str, customer: str, start: datetime, end: datetime) -> int:
        await self._turn()
        return int(await self._worker.client.event_summary(meter, customer, start, end))

    async def _invoice(self, customer: str, event_name: str, at: datetime) -> Invoice | None:
        await self._turn()
        found: Invoice | None = await self._worker.client.invoice_of(customer, event_name, at)
        return found

    async def _turn(self) -> None:
        await turns.turn_to_read(self._worker.database, self._worker.client)
