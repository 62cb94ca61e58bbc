"""What policies ask beyond whose row it is: for each condition, statements that meet it and that do not."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.tenancy.expected import ENGINE, OPERATOR, READER, STEPS
from tests.tenancy.laboratory import ACME, GLOBEX, REFUSED, Laboratory, Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`reached`: how many rows; REFUSED if that ends with an error."""

    says: str
    table: str
    role: str
    statement: str
    reached: int
    tenant: str | None = ACME
    given: str = ""

    @property
    def probe(self) -> Probe:
        return Probe(role=self.role, tenant=self.tenant, statement=self.statement, given=self.given)


def _drafts(role: str) -> list[Condition]:
    see = f"SELECT FROM leads WHERE tenant_id = '{ACME}'"
    return [
        Condition(
            says=f"{role} sees leads that were delivered", table="leads", role=role, statement=see, reached=1
        ),
        Condition(
            says=f"{role} sees no draft",
            table="leads",
            role=role,
            statement=see,
            reached=0,
            given="UPDATE leads SET visible_at = NULL",
        ),
    ]


def _letters() -> list[Condition]:
    close = f"UPDATE dead_letters SET status = '%s' WHERE tenant_id = '{ACME}'"
    common = {"table": "dead_letters", "role": OPERATOR}
    return [
        Condition(
            says="an operator closes an open letter", statement=close % "resolved", reached=1, **common
        ),
        Condition(
            says="an operator says of no letter that it was replayed",
            statement=close % "replayed",
            reached=REFUSED,
            **common,
        ),
        Condition(
            says="an operator changes no letter that is closed",
            statement=close % "resolved",
            reached=0,
            given="UPDATE dead_letters SET status = 'replayed'",
            **common,
        ),
    ]


def _effects() -> list[Condition]:
    forbid = f"UPDATE effects SET state = '%s' WHERE tenant_id = '{ACME}'"
    add = (
        "INSERT INTO effects (tenant_id, saga_id, step, direction, state)"
        f" VALUES ('{ACME}', gen_random_uuid(), 'new', '%s', '%s')"
    )
    undo = "UPDATE effects SET direction = 'undo'"
    common = {"table": "effects", "role": OPERATOR}
    return [
        Condition(says="an operator forbids a step", statement=forbid % "undone", reached=1, **common),
        Condition(says="an operator does no step", statement=forbid % "done", reached=REFUSED, **common),
        Condition(
            says="an operator forbids no undo", statement=forbid % "undone", reached=0, given=undo, **common
        ),
        Condition(
            says="an operator forbids a step ahead", statement=add % ("do", "undone"), reached=1, **common
        ),
        Condition(
            says="an operator adds no step that was done",
            statement=add % ("do", "done"),
            reached=REFUSED,
            **common,
        ),
        Condition(
            says="an operator adds no undo", statement=add % ("undo", "undone"), reached=REFUSED, **common
        ),
    ]


def _work() -> list[Condition]:
    put_off = "UPDATE work_due SET due_at = %s"
    later = put_off % "now() + interval '1 minute'"
    not_due = "UPDATE work_due SET due_at = now() + interval '1 second'"
    add = f"INSERT INTO work_due (kind, tenant_id, due_at) VALUES ('reconcile', '{ACME}', %s)"
    common = {"table": "work_due", "role": STEPS}
    return [
        Condition(
            says="who works for nobody claims what is due",
            statement=later,
            reached=2,
            tenant=None,
            **common,
        ),
        Condition(
            says="who works for nobody claims nothing that is not due",
            statement=later,
            reached=0,
            tenant=None,
            given=not_due,
            **common,
        ),
        Condition(
            says="who works for nobody makes nothing due",
            statement=put_off % "now() - interval '1 second'",
            reached=REFUSED,
            tenant=None,
            **common,
        ),
        Condition(
            says="who works for nobody puts nothing off for ever",
            statement=put_off % "now() + interval '2 hours'",
            reached=REFUSED,
            tenant=None,
            **common,
        ),
        Condition(
            says="who works for a tenant moves its own work, due or not",
            statement=put_off % "now() + interval '1 day'",
            reached=1,
            given=not_due,
            **common,
        ),
        Condition(
            says="an operator hastens work, of whatever kind",
            table="work_due",
            role=OPERATOR,
            statement=put_off % "now()",
            reached=2,
            given=not_due,
        ),
        Condition(
            says="an operator puts no work off",
            table="work_due",
            role=OPERATOR,
            statement=put_off % "now() + interval '1 second'",
            reached=REFUSED,
        ),
        Condition(
            says="an operator adds work that is due",
            table="work_due",
            role=OPERATOR,
            statement=add % "now()",
            reached=1,
        ),
        Condition(
            says="an operator adds no work for later",
            table="work_due",
            role=OPERATOR,
            statement=add % "now() + interval '1 second'",
            reached=REFUSED,
        ),
    ]


def _audit() -> list[Condition]:
    add = "INSERT INTO audit (actor, action, tenant_id) VALUES ('%s', 'x', '%s')"
    return [
        Condition(
            says="the engine speaks of any tenant",
            table="audit",
            role=ENGINE,
            statement=add % ("orchestrator", GLOBEX),
            reached=1,
        ),
        Condition(
            says="the engine speaks in nobody else's name",
            table="audit",
            role=ENGINE,
            statement=add % ("ann", GLOBEX),
            reached=REFUSED,
        ),
    ]


def _tenants() -> list[Condition]:
    add = (
        "INSERT INTO tenants (tenant_id, name, status, plan_id, sagas_in_flight, model_calls, provisioned_by)"
        f" VALUES ('{ACME}', 'x', '%s', 'x', 1, 1, gen_random_uuid())"
    )
    change = f"UPDATE tenants SET status = '%s' WHERE tenant_id = '{ACME}'"
    remove = f"DELETE FROM tenants WHERE tenant_id = '{ACME}'"
    added = "UPDATE tenants SET status = 'active'"
    common = {"table": "tenants", "role": STEPS}
    return [
        Condition(says="a step begins a tenant", statement=add % "provisioning", reached=1, **common),
        Condition(says="a step begins it as such", statement=add % "active", reached=REFUSED, **common),
        Condition(says="a step activates a begun tenant", statement=change % "active", reached=1, **common),
        Condition(says="a step suspends nobody", statement=change % "suspended", reached=REFUSED, **common),
        Condition(
            says="a step changes no tenant that was added",
            statement=change % "active",
            reached=0,
            given=added,
            **common,
        ),
        Condition(says="a step removes a begun tenant", statement=remove, reached=1, **common),
        Condition(
            says="a step removes no tenant that was added", statement=remove, reached=0, given=added, **common
        ),
    ]


CONDITIONS: Sequence[Condition] = (
    *_drafts(OPERATOR),
    *_drafts(READER),
    *_letters(),
    *_effects(),
    *_work(),
    *_audit(),
    *_tenants(),
)


async def unmet(laboratory: Laboratory, of: Sequence[Condition] = CONDITIONS) -> list[str]:
    if not of:
        return []
    reached = await laboratory.reached([condition.probe for condition in of])
    return [
        f"{condition.says}: reached {found} rows"
        for condition, found in zip(of, reached, strict=True)
        if found != condition.reached
    ]
