"""A database that refuses what has to be written for one tenant, until it is mended: a bug, from outside."""

from typing import Any

_INSTALL = """
CREATE TABLE IF NOT EXISTS sabotage (tenant_id text, refused text);
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = leadsaga AS $$
BEGIN
    IF (NEW.tenant_id, TG_OP || ' ON ' || TG_TABLE_NAME) IN (SELECT tenant_id, refused FROM sabotage) THEN
        RAISE EXCEPTION 'sabotage';
    END IF;
    RETURN NEW;
END $$;
"""


async def sabotaged(sql: Any, refused: str, tenant_id: str) -> None:
    """`refused`: such as INSERT ON holds."""
    async with sql.acquire() as connection, connection.transaction():
        # Scenes are prepared side by side.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('sabotage'))")
        await connection.execute(_INSTALL)
        await connection.execute(
            f"CREATE OR REPLACE TRIGGER refuse BEFORE {refused} FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        await connection.execute("INSERT INTO sabotage VALUES ($1, $2)", tenant_id, refused)


async def mended(sql: Any, tenant_id: str) -> None:
    await sql.execute("DELETE FROM sabotage WHERE tenant_id = $1", tenant_id)
