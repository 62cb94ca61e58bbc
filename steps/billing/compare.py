"""Stripe's totals against our sends. Pure.

Totals are eventually consistent: what was sent a moment ago may be missing in them. What was taken long
enough ago must be in them, and what was never sent cannot be. So a total lies between bounds, and outside of
them something was lost or counted twice, however busy the tenant is.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from steps.billing.books import Books, Page, Send

Verdict = Literal["agrees", "behind", "differs"]

Total = Callable[[datetime, datetime], Awaitable[int]]
"""Stripe's total for [start, end), whole minutes."""

MOST_READS = 20
"""Of totals, to find out where one differs: enough for a minute of a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Totals of one customer. `old` is of what Stripe must show: [start, cut); None = the same span, or not
    needed since `whole` agreed. `where` is the minute in which they first differ from our sends."""

    customer: str
    whole: int
    old: int | None = None
    where: tuple[datetime, datetime] | None = None


def expected(sends: Sequence[Send]) -> int:
    return sum(send.value for send in sends if send.confirmed)


def possible(total: int, sends: Sequence[Send]) -> bool:
    """Whether lag alone may explain the total."""
    surely = sum(send.value for send in sends if send.final)
    perhaps = [send.value for send in sends if not send.final]
    least = surely + sum(value for value in perhaps if value < 0)
    most = surely + sum(value for value in perhaps if value > 0)
    return least <= total <= most


def verdict(books: Books, page: Page, reading: Reading) -> Verdict:
    start, end = page.span
    sends = books.sends(reading.customer, page.event_name, start, end)
    if reading.whole == expected(sends):
        return "agrees"
    before = [send for send in sends if send.event_at < minute(books.cut)]
    old = reading.whole if reading.old is None else reading.old
    if possible(reading.whole, sends) and possible(old, before if reading.old is not None else sends):
        return "behind"
    return "differs"


def minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


async def read(books: Books, page: Page, customer: str, total: Total) -> Reading:
    """As many totals as it takes. Sends that are made meanwhile may be in them and not in `books`: judge by
    books that are read afterwards."""
    start, end = page.span
    whole = await total(start, end)
    if whole == expected(books.sends(customer, page.event_name, start, end)):
        return Reading(customer=customer, whole=whole)
    cut = minute(books.cut)
    old = await total(start, cut) if start < cut < end else None
    reading = Reading(customer=customer, whole=whole, old=old)
    if verdict(books, page, reading) != "differs":
        return reading
    where = await narrowed(books, page, customer, total)
    return Reading(customer=customer, whole=whole, old=old, where=where)


async def narrowed(books: Books, page: Page, customer: str, total: Total) -> tuple[datetime, datetime]:
    """The first minute, or the shortest span for so few reads, whose total cannot be explained."""
    start, end = page.span
    low, high = start, min(end, minute(books.now) + timedelta(minutes=1))
    for _ in range(MOST_READS):
        minutes = int((high - low).total_seconds()) // 60
        if minutes <= 1:
            break
        middle = low + timedelta(minutes=minutes // 2)
        sends = books.sends(customer, page.event_name, low, middle)
        if possible(await total(low, middle), sends):
            low = middle
        else:
            high = middle
    return low, high
