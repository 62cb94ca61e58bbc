"""Who may reach which rows: what the matrix is held against, written down without a look at any policy.

By default a role that was granted something may do it to the rows of the tenant that is set, and to no other,
and to none at all while none is set. All that goes further stands here. A new table needs no line, unless
somebody is meant to see all tenants in it.
"""

from tests.tenancy.catalogue import OWNER, Table

ENGINE, STEPS, OPERATOR, READER = "leadsaga_engine", "leadsaga_steps", "leadsaga_operator", "leadsaga_reader"

SHARED = {
    "schema_versions": "which release's schema this is",
    "plans": "what is sold; the same for all",
    "plan_terms": "what is sold from when; the same for all",
    "exchange_rates": "the same for all",
    "secret_keys": "names of keys, which tell nothing",
    "audit_chain": "hashes and numbers of rows",
    "audit_head": "one hash",
}
"""Tables without tenant data and without row-level security, and what they hold."""

SELECT, INSERT, UPDATE, LOCK, GIVE, DELETE = "select", "insert", "update", "lock", "give", "delete"
UPDATE_ALL, DELETE_ALL = "update all", "delete all"
VERBS = (SELECT, INSERT, UPDATE, UPDATE_ALL, LOCK, GIVE, DELETE, DELETE_ALL)
"""`give`: a row of the tenant's own becomes another tenant's. `... all`: without saying which rows, so that
nothing but the policy of that verb holds it."""

OWN, OTHER, UNSET = "own", "other", "unset"
LISTED, UNLISTED, BESIDE = "listed", "unlisted", "beside"
CASES = (OWN, OTHER, UNSET, LISTED, UNLISTED, BESIDE)
"""Whose row it is: of the tenant that is set, of another one, or of anybody while none is set. Of a bundle's
tenant while none is set, of another one's; and of a bundle's tenant while another tenant is set."""

_ALL = frozenset({SELECT, INSERT, UPDATE, DELETE})
_READ = frozenset({SELECT})

ACROSS: dict[str, dict[str, frozenset[str]]] = {
    # What makes the orchestrator one: where all sagas stand. Nothing of what was delivered or billed.
    ENGINE: {
        **dict.fromkeys(("requests", "sagas", "saga_log", "events_out", "orders", "dead_letters"), _ALL),
        "tenants": _READ,
        "audit": frozenset({INSERT}),
    },
    STEPS: {},
    OPERATOR: {
        **dict.fromkeys(("requests", "sagas", "saga_log", "events_out", "billing_flags"), _READ),
        "work_due": frozenset({SELECT, INSERT, UPDATE}),
        "orders": frozenset({SELECT, INSERT}),
        "dead_letters": frozenset({SELECT, UPDATE}),
        "tenants": frozenset({SELECT, INSERT, UPDATE}),
        "audit": frozenset({SELECT, INSERT}),
    },
    READER: dict.fromkeys(
        ("requests", "sagas", "saga_log", "events_out", "orders", "dead_letters", "tenants", "work_due",
         "billing_flags"),
        _READ,
    ),
    OWNER: {},
}  # fmt: skip
"""What a role may do to the rows of all tenants, whichever is set."""

WHILE_UNSET = {(STEPS, "work_due"): frozenset({SELECT, UPDATE})}
"""What a role may do to the rows of all tenants while none is set, and to its own while one is."""

WHILE_LISTED = {(STEPS, "effects"): frozenset({SELECT, INSERT, UPDATE})}
"""What a role may do to the rows of a bundle's tenants while none is set."""

OF_THE_ENGINE = frozenset(ACROSS[ENGINE]) - {"tenants", "audit"}


def may_hold(role: str, table: str, verb: str) -> bool:
    """Whether the role should have been granted this at all. A step may see how its tenant's sagas ended,
    to find what they left behind."""
    match role:
        case "leadsaga_engine":
            return bool(needs(verb) <= ACROSS[ENGINE].get(table, frozenset()))
        case "leadsaga_steps":
            return table not in OF_THE_ENGINE or (table, verb) == ("sagas", SELECT)
        case "leadsaga_reader":
            return verb == SELECT
        case _:
            return role != OWNER


def needs(verb: str) -> frozenset[str]:
    """Whoever names rows reads them, and whoever locks them has to be allowed to change them."""
    match verb:
        case "select" | "insert":
            return frozenset({verb})
        case "update" | "lock" | "give":
            return frozenset({SELECT, UPDATE})
        case "delete":
            return frozenset({SELECT, DELETE})
        case _:
            return frozenset({verb.removesuffix(" all")})


def granted(table: Table, role: str, verb: str) -> bool:
    """Whether the catalogue lets the role try. The owner may try everything."""
    if role == OWNER:
        return True
    has = {
        SELECT: "tenant_id" in table.granted(role, "SELECT"),
        INSERT: "tenant_id" in table.granted(role, "INSERT"),
        UPDATE: bool(table.granted(role, "UPDATE")),
        DELETE: table.may_delete(role),
    }
    gives = verb != GIVE or "tenant_id" in table.granted(role, "UPDATE")
    return gives and all(has[need] for need in needs(verb))


def rows(table: Table, role: str, verb: str, case: str) -> int:
    """How many of two rows, one of each tenant, a statement reaches."""
    if not granted(table, role, verb) or not may_hold(role, table.name, verb):
        return 0
    across = needs(verb) <= ACROSS[role].get(table.name, frozenset())
    mine = case == OWN
    if case in {UNSET, LISTED, UNLISTED}:
        across |= needs(verb) <= WHILE_UNSET.get((role, table.name), frozenset())
        mine = case == LISTED and needs(verb) <= WHILE_LISTED.get((role, table.name), frozenset())
    if verb in {UPDATE_ALL, DELETE_ALL}:
        return 2 if across else int(mine)
    if verb == GIVE:  # `other` is who gets it
        return int(across)
    return int(across or mine)
