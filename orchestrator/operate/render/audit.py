"""The audit and the rotation of keys on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType

from orchestrator.operate.chain import Verified
from orchestrator.operate.plain import dumps
from orchestrator.operate.render.text import add, ids, moment, plain, shortened, table
from orchestrator.operate.rotation import Rotated
from orchestrator.operate.trail import AuditRow

SIDE = 80
"""Characters of what was before, or after."""


def audit_rows(found: Sequence[AuditRow]) -> RenderableType:
    made = table(
        f"audit: {len(found)}",
        ">row",
        "when",
        "actor",
        "as",
        "action",
        "tenant",
        "saga",
        "why",
        "before",
        "after",
    )
    for each in found:
        who = each.actor, (each.written_by or "").removeprefix("leadsaga_")
        about = each.action, each.tenant_id, ids(each.saga_id), each.reason
        add(made, each.audit_id, moment(each.at), *who, *about, _side(each.before), _side(each.after))
    return made


def _side(side: Any) -> str:
    return "" if side is None else shortened(dumps(side), SIDE)


def verified(it: Verified) -> RenderableType:
    lines: list[RenderableType] = [plain(f"  {finding}", "red") for finding in it.findings]
    if it.damage > len(it.findings):
        lines.append(plain(f"  and {it.damage - len(it.findings)} more", "red"))
    verdict = plain("clean", "green") if it.clean else plain(f"damaged in {it.damage} places", "bold red")
    told = plain(f"audit, {it.links} links: ")
    told.append_text(verdict)
    return Group(told, *lines, plain(f"head {it.head}"))


def rotated(it: Rotated) -> RenderableType:
    counts = f"{it.anew} sealed anew, {it.clear} were in the clear, {it.already} under it before"
    lines = [plain(f"key {it.key}: {counts}")]
    lines += [plain(f"  key {key}: needed no more", "green") for key in it.retired]
    lines += [plain(f"  key {key}: still in use; run this again", "yellow") for key in it.in_use]
    lines += [plain(f"  {tenant}: no key opens its webhook; store it anew", "red") for tenant in it.broken]
    return Group(*lines)
