"""The history of a system of real processes, from everybody who has a record of it."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.sagas import sagas
from tests.kit.history.postgres import read_tables
from tests.kit.history.records import AskedRequest, HeardEvent, History
from tests.kit.history.vendors import notices_said, read_vendors


async def read_history(
    database_url: str,
    sandbox: Path,
    *,
    time_scale: float,
    heard: Sequence[HeardEvent],
    asked: Sequence[AskedRequest] | None = None,
) -> History:
    """`database_url` is a superuser's, `sandbox` the sandbox's directory, `time_scale` the processes'."""
    tables, vendors = await read_tables(database_url), read_vendors(sandbox)
    return History(
        definitions=sagas(time_scale),
        sagas=tables.sagas,
        effects=tables.effects,
        leads=tables.leads,
        ledger=tables.ledger,
        carriers=tables.carriers,
        intents=tables.intents,
        holds=tables.holds,
        quotas=tables.quotas,
        heard=heard,
        waiting=tables.waiting,
        dead_letters=tables.dead_letters,
        asked=asked,
        meters=vendors.meters,
        meter_events=vendors.meter_events,
        model_calls=tables.model_calls,
        calls_at_vendor=vendors.model_calls,
        notices=notices_said(tables.notices, vendors, tables.webhooks),
    )
