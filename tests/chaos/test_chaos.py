"""A minute of `make chaos`: everything is killed at least once under load, and every promise is kept."""

import re

import pytest

from tests.kit.local import processes_of, program, reachable_directory

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

LOAD = ("--minutes", "0.9", "--seed", "1", "--orders", "40", "--every", "4", "--patience", "40")
VICTIMS = ("orchestrator", "steps", "sandbox", "rabbitmq", "postgres")
ENDS = ("lead completed", "lead rolled_back", "lead parked", "refund completed", "refund rolled_back")


async def test_nothing_is_lost_whatever_is_killed() -> None:
    async with reachable_directory() as directory, program(directory, *LOAD, module="tests.chaos") as run:
        status = await run.ends()
        said = "\n".join(run.lines)
        assert 0 == status, said
        assert "violations: 0" in run.lines
        assert 20 <= _counted(r"^reconciled: (\d+) pages, 0 differences", said), said
        assert 10 <= _counted(r"^kills: (\d+)", said), said
        for victim in VICTIMS:
            assert 1 <= _counted(rf"^  {victim} \(kill\): (\d+)", said), said
        for end in ENDS:
            assert 1 <= _counted(rf"^  {end}: (\d+)", said), said
        assert [] == processes_of(directory)


def _counted(pattern: str, said: str) -> int:
    found = re.search(pattern, said, re.MULTILINE)
    return int(found.group(1)) if found else 0
