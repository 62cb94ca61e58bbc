"""Reconciling one tenant: its own books beside each other, and beside what Stripe counts and bills.

Stripe is read first and judged by books that are read afterwards: whatever is in a total was in them by then.
"""

from contracts.process import logs
from steps.billing import compare, rhythm
from steps.billing.books import Books, Page, read_books, sagas_of
from steps.billing.drift import Finding, own_findings
from steps.billing.findings import OF_STRIPE, keep
from steps.billing.invoices import Money, judge_invoices
from steps.billing.pages import Compared, keep_page
from steps.billing.readings import Readings, Seen
from steps.billing.settings import flush_pace, reconcile_settings
from steps.runtime.step import Connection, Worker

log = logs.get("reconcile")


async def reconcile_tenant(worker: Worker, tenant_id: str) -> None:
    """What differs is kept as findings, and what no longer does is resolved. Broken off anywhere, or done by
    two processes at once, it is as if it had not been done, or had been done once."""
    settings = reconcile_settings()
    async with worker.database.transaction(tenant_id, name="reconcile.look") as connection:
        books = await read_books(connection, tenant_id, settings.lag)
    stripe = Readings(worker)
    read = {(page.event_name, page.period_start): await stripe.of(books, page) for page in books.pages}
    async with worker.database.transaction(tenant_id, name="reconcile.keep") as connection:
        now = await read_books(connection, tenant_id, settings.lag)
        found = await own_findings(connection, tenant_id, now.horizon)
        whole = True
        for page in now.pages:
            of_page = read.get((page.event_name, page.period_start), Seen())
            whole &= of_page.unread is None
            found += await _judge(connection, tenant_id, now, page, of_page)
        new, still = await keep(connection, tenant_id, found, () if whole else OF_STRIPE)
        pace = settings.rhythm(worker.time_scale, flush_pace().grace_hours)
        await rhythm.finish(connection, tenant_id, pace, still, books.now if whole else None)
    for finding in new:
        log.error(
            "books_differ",
            tenant=tenant_id,
            kind=finding.kind,
            subject=finding.subject,
            expected=finding.expected,
            found=finding.found,
        )


async def _judge(
    connection: Connection, tenant_id: str, books: Books, page: Page, seen: Seen
) -> list[Finding]:
    found, money, behind = list[Finding](), list[Money](), False
    for reading in seen.totals:
        verdict = compare.verdict(books, page, reading)
        behind |= verdict == "behind"
        if verdict == "differs":
            found.append(await _counted(connection, tenant_id, books, page, reading))
    for invoiced in seen.invoices:
        differ, of_invoices = await judge_invoices(connection, tenant_id, books, page, invoiced)
        found, money = found + differ, money + of_invoices
    counted = sum(reading.whole for reading in seen.totals) if seen.totals else None
    await keep_page(connection, tenant_id, page, Compared(counted, behind, money, seen.unread))
    return found


async def _counted(
    connection: Connection, tenant_id: str, books: Books, page: Page, reading: compare.Reading
) -> Finding:
    start, end = reading.where or page.span
    sends = books.sends(reading.customer, page.event_name, start, end)
    told = compare.expected(books.sends(reading.customer, page.event_name, *page.span))
    why = (
        "lost there, or refused after it was taken" if reading.whole < told else "counted twice, or not ours"
    )
    at = f"first between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC"
    return Finding(
        kind="counted",
        subject=f"{page.event_name} {page.period_start:%Y-%m-%d} {reading.customer}",
        expected=told,
        found=reading.whole,
        reason=f"Stripe has confirmed {told} leads and counts {reading.whole}: {why}; {at}",
        sagas=tuple(await sagas_of(connection, tenant_id, sends)),
    )
