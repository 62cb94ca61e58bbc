"""All that a database has of ours, in a form that two databases can be compared by."""

from typing import Any

PARTS = {
    "tables": """
        SELECT c.relname, c.relkind::text, pg_get_userbyid(c.relowner)::text, c.relrowsecurity,
            c.relforcerowsecurity, c.reloptions::text
        FROM pg_class c WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'v', 'S', 'm')
    """,
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attidentity::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
            AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'leadsaga'::regnamespace
    """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'leadsaga'",
    "policies": """
        SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check
        FROM pg_policies WHERE schemaname = 'leadsaga'
    """,
    "grants": """
        SELECT c.relname, '', g.grantee::regrole::text, g.privilege_type, g.is_grantable
        FROM pg_class c, aclexplode(c.relacl) g WHERE c.relnamespace = 'leadsaga'::regnamespace
        UNION ALL
        SELECT c.relname, a.attname, g.grantee::regrole::text, g.privilege_type, g.is_grantable
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) g
        WHERE c.relnamespace = 'leadsaga'::regnamespace
        UNION ALL
        SELECT n.nspname, '', g.grantee::regrole::text, g.privilege_type, g.is_grantable
        FROM pg_namespace n, aclexplode(n.nspacl) g WHERE n.nspname = 'leadsaga'
    """,
    "triggers": """
        SELECT tgrelid::regclass::text, pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid IN
            (SELECT oid FROM pg_class WHERE relnamespace = 'leadsaga'::regnamespace)
    """,
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text FROM pg_proc p
        WHERE p.pronamespace = 'leadsaga'::regnamespace
    """,
}


async def catalogue(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Of a connection whose search path is leadsaga."""
    return {
        name: sorted((tuple(row) for row in await connection.fetch(query)), key=repr)
        for name, query in PARTS.items()
    }
