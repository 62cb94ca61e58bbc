"""The saga that is measured: four durable steps and no outside call, the same work as other engines get.

Step 1 returns ten small objects, step 2 inserts one usage row (once), step 3 marks it reported, step 4 does
nothing. `python -m tests.benchmarks.noop orchestrator` and `... STEP ...` run the real processes on it: their
code is production's, only the definitions differ.
"""

import cProfile
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvloop

import orchestrator.sagas as known
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.process.settings import BadSettings
from contracts.requests import LeadRequested
from orchestrator.core.definition import Saga, best_effort, compensatable, pivot, retriable
from orchestrator.core.durations import hours, seconds
from orchestrator.sagas.lead import CHAT, LEDGER
from orchestrator.sagas.refund import REFUND
from steps.runtime.process import run
from steps.runtime.step import Batch, Connection, Step

# fmt: off
# Requests of leads begin it, so it bears the name of the saga that they begin.
NOOP = Saga(name="lead", version=1, begins_with=LeadRequested, deadline=hours(24), steps=(
    compensatable("make_items",    undo="drop_items", retry=LEDGER, timeout=seconds(10)),
    pivot        ("insert_usage",                     retry=LEDGER, timeout=seconds(10)),
    retriable    ("mark_reported"),
    best_effort  ("do_nothing",                       retry=CHAT,   timeout=seconds(10)),
))
# fmt: on

SCHEMA = """
CREATE TABLE leadsaga.bench_usage (
    tenant_id    text NOT NULL,
    saga_id      uuid NOT NULL,
    items        int NOT NULL,
    reported_at  timestamptz,
    PRIMARY KEY (tenant_id, saga_id)
) WITH (fillfactor = 80);
ALTER TABLE leadsaga.bench_usage OWNER TO leadsaga_owner;
ALTER TABLE leadsaga.bench_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadsaga.bench_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY steps ON leadsaga.bench_usage TO leadsaga_steps
    USING (tenant_id = (SELECT leadsaga.current_tenant()))
    WITH CHECK (tenant_id = (SELECT leadsaga.current_tenant()));
GRANT SELECT, INSERT, UPDATE ON leadsaga.bench_usage TO leadsaga_steps;
"""
"""What step 2 writes, as safe from other tenants as the tables of the real steps."""

INSERT = """
INSERT INTO bench_usage (tenant_id, saga_id, items) SELECT $1, saga_id, 10 FROM unnest($2::uuid[]) AS saga_id
ON CONFLICT DO NOTHING
"""
REPORT = """
UPDATE bench_usage SET reported_at = now() WHERE tenant_id = $1 AND saga_id = ANY($2::uuid[])
"""

ITEMS = {"items": [{"company": f"Company {number}", "score": 90 - number} for number in range(10)]}


async def make_items(_: Connection, commands: Sequence[Command]) -> list[Outcome]:
    return [Done(facts=ITEMS) for _ in commands]


async def insert_usage(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    await connection.execute(INSERT, commands[0].tenant_id, [command.saga_id for command in commands])
    return [Done() for _ in commands]


async def mark_reported(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    await connection.execute(REPORT, commands[0].tenant_id, [command.saga_id for command in commands])
    return [Done() for _ in commands]


async def do_nothing(_: Connection, commands: Sequence[Command]) -> list[Outcome]:
    return [Done() for _ in commands]


STEPS = {
    step.name: step
    for step in (
        Step(name="make_items", do=Batch(run=make_items), undo_name="drop_items", undo=Batch(run=do_nothing)),
        Step(name="insert_usage", do=Batch(run=insert_usage)),
        Step(name="mark_reported", do=Batch(run=mark_reported)),
        Step(name="do_nothing", do=Batch(run=do_nothing)),
    )
}


def main(arguments: list[str]) -> int:
    # Whoever is imported from here on knows this saga, and the real one no more.
    known.CURRENT = known.REGISTERED = (NOOP, REFUND)
    try:
        with profiled("+".join(arguments)):
            uvloop.run(_process(arguments))
    except BadSettings as error:
        sys.stderr.write(f"{error}\n")
        return BadSettings.EXIT_CODE
    return 0


async def _process(arguments: list[str]) -> None:
    if arguments == ["orchestrator"]:
        from orchestrator.app import run as orchestrate  # noqa: PLC0415

        await orchestrate()
    else:
        await run([STEPS[name] for name in arguments])


@contextmanager
def profiled(name: str) -> Iterator[None]:
    """Keeps a profile of this process in the folder that BENCH_PROFILE names, if it names one."""
    folder = os.environ.get("BENCH_PROFILE")
    profile = cProfile.Profile() if folder else None
    if profile:
        profile.enable()
    try:
        yield
    finally:
        if profile:
            profile.disable()
            profile.dump_stats(f"{folder}/{name}.prof")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
