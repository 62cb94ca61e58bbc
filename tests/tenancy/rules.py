"""What must hold of the schema whatever its tables are. Each rule is a query for what breaks it."""

from typing import Any

from tests.tenancy.catalogue import OWNER, ROLES
from tests.tenancy.expected import SHARED

OF_THE_WHOLE_SYSTEM = {
    "events_out_pkey": "event ids are made here, and are derived from saga and entry",
    "dead_letters_pkey": "made here",
    "dead_letters_queue_message_id_key": "made here, of key and bytes; what cannot be decoded has no tenant",
    "orders_pkey": "made here",
    "audit_pkey": "one sequence for all, so that no row can be taken out of it",
    "orders_dead_letter_id_fkey": "a letter without a tenant; with one, the composite key holds it too",
}
"""Keys without the tenant, and why that lets nobody meet another tenant's rows."""

INLINED = ("current_tenant", "bundle_tenants", "period_begin")
"""Functions that use nothing but what Postgres brings along, and so need no search path."""

RULES = {
    "a table is protected, or is listed as shared": """
        SELECT relname FROM pg_class c
        WHERE relnamespace = 'leadsaga'::regnamespace AND relkind IN ('r', 'p', 'f')
            AND NOT (relrowsecurity AND relforcerowsecurity) AND relname <> ALL ($1::text[])
    """,
    "a protected table has a policy": """
        SELECT relname FROM pg_class c
        WHERE relnamespace = 'leadsaga'::regnamespace AND relrowsecurity
            AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
    """,
    "a shared table names no tenant": """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE relnamespace = 'leadsaga'::regnamespace AND relkind IN ('r', 'p') AND relname = ANY ($1::text[])
    """,
    "the owner owns all, and cannot log in": """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'leadsaga'::regnamespace AND pg_get_userbyid(relowner) <> $3::text
        UNION ALL SELECT proname FROM pg_proc
        WHERE pronamespace = 'leadsaga'::regnamespace AND pg_get_userbyid(proowner) <> $3::text
        UNION ALL SELECT rolname FROM pg_roles WHERE rolname = $3::text AND rolcanlogin
    """,
    "no role that runs is anything but itself": """
        SELECT rolname FROM pg_roles r WHERE rolname = ANY ($2::text[])
            AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR NOT rolcanlogin
                 OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid))
    """,
    "all four roles exist": """
        SELECT role FROM unnest($2::text[]) AS role
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
    """,
    "nobody may do what no policy stops": """
        SELECT r || ' may ' || p || ' ' || c.relname FROM unnest($2::text[]) AS r, pg_class c,
            unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
        WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'p')
            AND has_table_privilege(r, c.oid, p)
        UNION ALL SELECT r || ' may create in the schema' FROM unnest($2::text[]) AS r
        WHERE has_schema_privilege(r, 'leadsaga', 'CREATE')
    """,
    "nothing is granted to everybody, and nobody may pass on what was granted": """
        SELECT c.relname FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.relnamespace = 'leadsaga'::regnamespace
            AND (g.grantee = 0 OR g.is_grantable AND g.grantee <> c.relowner)
        UNION ALL SELECT c.relname || '.' || a.attname
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) g
        WHERE c.relnamespace = 'leadsaga'::regnamespace AND (g.grantee = 0 OR g.is_grantable)
    """,
    "a policy is for roles of ours, permits, and says what it means": """
        SELECT tablename || '.' || policyname FROM pg_policies WHERE schemaname = 'leadsaga' AND (
            permissive <> 'PERMISSIVE' OR NOT roles::text[] <@ $2::text[]
            OR cmd IN ('ALL', 'SELECT', 'UPDATE', 'DELETE') AND qual IS NULL
            OR cmd IN ('ALL', 'INSERT', 'UPDATE') AND with_check IS NULL)
    """,
    "a key of a tenant's table has the tenant in it": """
        SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attname = 'tenant_id'
        JOIN pg_class c ON c.oid = x.indrelid
        WHERE c.relnamespace = 'leadsaga'::regnamespace AND x.indisunique
            AND NOT a.attnum = ANY (x.indkey) AND i.relname <> ALL ($4::text[])
    """,
    "a reference between tenants' tables goes from tenant to the same tenant": """
        SELECT k.conname FROM pg_constraint k
        JOIN pg_attribute mine ON mine.attrelid = k.conrelid AND mine.attname = 'tenant_id'
        JOIN pg_attribute its ON its.attrelid = k.confrelid AND its.attname = 'tenant_id'
        WHERE k.connamespace = 'leadsaga'::regnamespace AND k.contype = 'f' AND k.conname <> ALL ($4::text[])
            AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.confkey) AS pair (of_mine, of_its)
                            WHERE (of_mine, of_its) = (mine.attnum, its.attnum))
    """,
    "a view asks as whoever asks it, and none keeps a copy": """
        SELECT relname FROM pg_class WHERE relnamespace = 'leadsaga'::regnamespace AND (relkind = 'm'
            OR relkind = 'v' AND NOT coalesce(reloptions, '{}')
                && ARRAY['security_invoker=true', 'security_invoker=on'])
    """,
    "a function's search path is pinned, temporary tables last": """
        SELECT proname FROM pg_proc WHERE pronamespace = 'leadsaga'::regnamespace
            AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=leadsaga, pg_temp']
            AND (prosecdef OR proname <> ALL ($5::text[]))
    """,
    "words are text with a CHECK, never an enum": """
        SELECT typname FROM pg_type WHERE typnamespace = 'leadsaga'::regnamespace AND typtype = 'e'
    """,
    "no tenant is set for a role or a database": """
        SELECT unnest(setconfig) FROM pg_db_role_setting s
        WHERE array_to_string(setconfig, ' ') LIKE '%leadsaga.%'
    """,
}


async def broken(connection: Any) -> list[str]:
    """A line for each thing that breaks a rule."""
    return [f"{rule}: {what}" for rule in RULES for what in await breaks(connection, rule)]


async def breaks(connection: Any, rule: str) -> list[str]:
    given = (list(SHARED), list(ROLES), OWNER, list(OF_THE_WHOLE_SYSTEM), list(INLINED))
    # Postgres wants the type of every parameter known, also of those that a rule does not need.
    typed = f"""
        SELECT * FROM ({RULES[rule]}) AS found (name)
        WHERE ($1::text[], $2::text[], $3::text, $4::text[], $5::text[]) IS NOT NULL
    """
    return [str(row["name"]) for row in await connection.fetch(typed, *given)]
