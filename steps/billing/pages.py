"""The books of a meter and a billing period beside each other, kept as they were compared last."""

from collections.abc import Sequence
from dataclasses import dataclass

from steps.billing.books import Page
from steps.billing.invoices import Money
from steps.runtime.step import Connection

_KEEP = """
INSERT INTO reconciliations (tenant_id, event_name, period_start, compared_at, ledger, told, under_way,
    refused, by_hand, credited, counted, behind, invoiced, charged, owed, currency, unread)
VALUES ($1, $2, $3, now(), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (tenant_id, event_name, period_start) DO UPDATE
SET compared_at = excluded.compared_at, ledger = excluded.ledger, told = excluded.told,
    under_way = excluded.under_way, refused = excluded.refused, by_hand = excluded.by_hand,
    credited = excluded.credited, counted = excluded.counted, behind = excluded.behind,
    invoiced = excluded.invoiced, charged = excluded.charged, owed = excluded.owed,
    currency = excluded.currency, unread = excluded.unread
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """Stripe's side of a page. `behind`: its total lacks what was sent of late, at most."""

    counted: int | None
    behind: bool
    money: Sequence[Money]
    unread: str | None


async def keep_page(connection: Connection, tenant_id: str, page: Page, stripe: Compared) -> None:
    money = stripe.money
    await connection.execute(
        _KEEP,
        tenant_id,
        page.event_name,
        page.period_start,
        page.ledger,
        page.told,
        page.under_way,
        page.refused,
        page.by_hand,
        page.credited,
        stripe.counted,
        stripe.behind,
        sum(each.invoiced for each in money) if money else None,
        sum(each.charged for each in money) if money else None,
        sum(each.owed for each in money) if money else None,
        money[0].currency if money else None,
        stripe.unread,
    )
