"""What an older release has written to the audit is in the chain once its database is migrated, and so is
what it writes there afterwards."""

from typing import Any

import asyncpg
import pytest

from orchestrator.operate.chain import verified
from orchestrator.operate.migrate import migrate
from tests.integration.versions.conftest import connected
from tests.kit.roles import as_role

pytestmark = pytest.mark.services

OLDER = """
INSERT INTO audit (actor, action, tenant_id, saga_id, reason, before, after)
VALUES ('ann', $1, 'acme', gen_random_uuid(), 'because', '{"b": 1.50}', NULL)
"""


async def test_the_audit_of_an_older_release_becomes_a_chain_and_goes_on_as_one(old: str) -> None:
    admin: Any = await connected(old)
    operator = await asyncpg.connect(as_role(old, "leadsaga_operator"))
    try:
        await operator.execute("SET search_path = leadsaga")
        for number in range(3):
            await operator.execute(OLDER, f"before {number}")
        await migrate()
        for number in range(2):
            await operator.execute(OLDER, f"after {number}")
        async with admin.transaction():
            found = await verified(admin)
        assert (5, []) == (found.links, found.findings)
        order = "SELECT written_by FROM audit JOIN audit_chain USING (audit_id) ORDER BY link"
        roles = [row["written_by"] for row in await admin.fetch(order)]
        assert [None, None, None, "leadsaga_operator", "leadsaga_operator"] == roles
    finally:
        await operator.close()
        await admin.close()
