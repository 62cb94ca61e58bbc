"""Reconciliation, margins and rates on a terminal."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Group, RenderableType

from orchestrator.operate.margin import Margin, Rate
from orchestrator.operate.reconcile import Finding, Page, Reconciled
from orchestrator.operate.render.text import add, ids, moment, plain, table

SAGAS = 5
"""Shown of one finding; --json has all."""


def reconciled(it: Reconciled) -> RenderableType:
    parts: list[RenderableType] = [_pages(it.pages)]
    if it.findings:
        parts.append(_findings(it.findings))
    parts.append(plain(_verdict(it), "green" if it.clean else "bold red"))
    return Group(*parts)


def _pages(pages: Sequence[Page]) -> RenderableType:
    made = table(
        *("books, in leads", "tenant", "period", "meter", ">ledger", ">told", ">under way", ">refused"),
        *(">by hand", ">credited", ">Stripe counts", ">invoiced", "charged / owed", ""),
    )
    for each in pages:
        money = "" if each.charged is None else f"{each.charged} / {each.owed} {each.currency}, smallest unit"
        note = each.unread or ("Stripe is behind" if each.behind else "")
        who = each.tenant_id, f"{each.period_start:%Y-%m-%d}", each.event_name
        leads = each.ledger, each.told, each.under_way, each.refused, each.by_hand, each.credited
        add(made, *who, *leads, each.counted, each.invoiced, money, plain(note, "yellow"))
    return made


def _findings(found: Sequence[Finding]) -> RenderableType:
    made = table("differences", "tenant", "kind", "what", ">expected", ">found", "why", "sagas", "since")
    for each in found:
        more = [f"and {len(each.sagas) - SAGAS} more"] if len(each.sagas) > SAGAS else []
        sagas = ids(*each.sagas[:SAGAS], *more)
        what = ids(*each.subject.split(" ", 1))
        add(
            made, each.tenant_id, each.kind, what, each.expected, each.found, each.reason, sagas,
            moment(each.first_seen_at),
        )  # fmt: skip
    return made


def _verdict(it: Reconciled) -> str:
    unread = sum(page.unread is not None for page in it.pages)
    behind = sum(page.behind for page in it.pages)
    refused = sum(page.refused for page in it.pages)
    words = [f"reconciled: {len(it.pages)} pages, {len(it.findings)} differences"]
    words += [f"{unread} could not be compared with Stripe"] if unread else []
    words += [f"{behind} in which Stripe is behind"] if behind else []
    words += [f"{refused} leads that Stripe refused are parked"] if refused else []
    return f"{'; '.join(words)}: {'clean' if it.clean else 'NOT clean'}"


def margins(found: Sequence[Margin]) -> RenderableType:
    made = table(
        *("margin, in US dollars", "tenant", "day", ">leads", ">revenue", ">calls", ">failed", ">unpriced"),
        *(">model cost", ">margin"),
    )
    for each in found:
        calls = each.calls, each.failed_calls, each.unpriced_calls
        revenue, cost, margin = (
            _dollars(value) for value in (each.revenue_usd, each.cost_usd, each.margin_usd)
        )
        add(made, each.tenant_id, f"{each.day:%Y-%m-%d}", each.leads, revenue, *calls, cost, margin)
    return made


def _dollars(amount: Decimal | None) -> str:
    return "no rate" if amount is None else f"{amount:.4f}"


def rates(found: Sequence[Rate]) -> RenderableType:
    made = table("rates", "currency", "from", ">US dollars")
    for each in found:
        add(made, each.currency, f"{each.valid_from:%Y-%m-%d}", f"{each.usd:f}")
    return made
