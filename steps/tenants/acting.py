"""Acting for the tenant that is being added, inside the administration's transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.messages import Command
from contracts.process.postgres import set_tenant
from contracts.requests import TenantRequested
from steps.runtime.step import Connection


@asynccontextmanager
async def acting(connection: Connection, command: Command) -> AsyncIterator[TenantRequested]:
    """Row-level security lets through the new tenant's rows, and nobody else's: not the administration's
    either, until it is over. After an error the setting goes with the transaction."""
    asked = command.asked(TenantRequested)
    await set_tenant(connection, asked.new_tenant)
    yield asked
    await set_tenant(connection, command.tenant_id)
