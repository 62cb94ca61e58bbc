"""Tenants, plans, usage, leads and outcomes on a terminal."""

from collections.abc import Sequence

from rich.console import RenderableType

from orchestrator.operate.leads import LeadLine
from orchestrator.operate.migrate import Migrated
from orchestrator.operate.orders import Ordered
from orchestrator.operate.plans import Plan
from orchestrator.operate.refunds import ForeseenRefund
from orchestrator.operate.render.text import add, moment, plain, status, table
from orchestrator.operate.replay import Foreseen
from orchestrator.operate.tenants import Tenant
from orchestrator.operate.upstream import Heard
from orchestrator.operate.usage import Usage

ANSWERS = {"yes": "green", "under way": "cyan", "no": "bold red"}


def tenants(found: Sequence[Tenant]) -> RenderableType:
    made = table(
        *("tenants", "id", "name", "status", "plan", "Stripe customer"),
        *(">in flight", ">model calls", "since"),
        *(("refused by Stripe",) if any(each.refused_by_stripe for each in found) else ()),
    )
    for each in found:
        add(
            made,
            each.tenant_id,
            each.name,
            plain(each.status, "green" if each.status == "active" else "yellow"),
            each.plan_id,
            each.stripe_customer,
            each.sagas_in_flight,
            each.model_calls,
            moment(each.created_at),
            *((each.refused_by_stripe,) if each.refused_by_stripe else ()),
        )
    return made


def plans(found: Sequence[Plan]) -> RenderableType:
    made = table(
        *("plans", "id", "from", ">price per lead", ">monthly quota", "overage", "billing", "meter"),
        "Stripe price",
    )
    for each in found:
        price = f"{each.price_per_lead:f} {each.currency}"
        overage = "yes" if each.overage else "no"
        begins = moment(each.valid_from)
        terms = price, each.monthly_quota, overage, each.billing, each.event_name, each.stripe_price
        add(made, each.plan_id, begins, *terms)
    return made


def usage(found: Sequence[Usage]) -> RenderableType:
    """The ledger beside what Stripe was told."""
    made = table(
        "usage, in leads",
        "tenant",
        "period",
        "meter",
        ">delivered",
        ">refunded",
        ">net",
        ">Stripe was told",
        ">under way",
        ">stuck",
        ">by hand",
        "billed = delivered",
        ">money",
    )
    for each in found:
        answer = plain(each.billed_is_delivered, ANSWERS[each.billed_is_delivered])
        money = "" if each.amount is None else f"{each.amount:.2f} {each.currency}"
        numbers = each.delivered, each.refunded, each.net, each.told, each.under_way, each.stuck, each.by_hand
        add(made, each.tenant_id, f"{each.period_start:%Y-%m-%d}", each.event_name, *numbers, answer, money)
    return made


def leads(found: Sequence[LeadLine], title: str = "leads") -> RenderableType:
    made = table(
        f"{title}: {len(found)}", "company", "contact", "title", "e-mail", "country", ">score", "why"
    )
    for each in found:
        who = each.company, each.contact_name, each.contact_title, each.email, each.country
        add(made, *who, each.score, each.reason)
    return made


def ordered(it: Ordered) -> RenderableType:
    name = it.saga_id or it.dead_letter_id
    if it.result is None:
        words = "not taken yet: it stays, and is carried out as soon as an orchestrator runs"
        return plain(f"{it.kind} {name}: {words}", "yellow")
    return plain(f"{it.kind} {name}: {it.result}", "green" if it.done else "red")


def foreseen(it: Foreseen) -> RenderableType:
    if it.refused:
        return plain(it.refused, "red")
    return plain(f"{it.does}; so far {it.attempts}; may reach: {it.cost}. Nothing was done.")


def foreseen_refund(it: ForeseenRefund) -> RenderableType:
    made = table(f"refund of {it.request_id}: nothing was done", "", "")
    if it.delivered_at is not None:
        add(made, "delivered", moment(it.delivered_at))
        add(made, "billed", f"{it.billed} leads, {it.refunded_before} of them refunded before")
        add(made, "to give back", f"{it.leads} leads, sold for {it.price}")
        add(made, "leads", f"{it.withdrawn} withdrawn" if it.withdrawn else "kept")
        add(made, "quota", f"{it.quota_returned} returned" if it.quota_returned else "kept")
        add(made, "at Stripe", it.instrument)
    if it.refused:
        add(made, "refused", plain(it.refused, "red"))
    return made


def heard(it: Heard) -> RenderableType:
    name = it.refund_id or it.request_id
    if it.outcome == "published":
        return plain(name)
    leads_of = f", {it.leads} leads" if it.leads is not None else ""
    line = plain(f"{name}: ")
    line.append_text(status(it.outcome))
    line.append_text(plain(leads_of + (f": {it.reason}" if it.reason else "")))
    return line


def migrated(it: Migrated) -> RenderableType:
    done = f"applied {', '.join(it.applied)}" if it.applied else "nothing to apply"
    words = f"; passwords set: {', '.join(it.passwords)}" if it.passwords else ""
    return plain(f"schema version {it.version}: {done}{words}")
