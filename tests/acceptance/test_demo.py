"""`make demo`, as a newcomer runs it."""

import re
from pathlib import Path

import pytest

from tests.kit.local import processes_of, program, reachable_directory
from tests.kit.sandbox import until

pytestmark = pytest.mark.timeout(150)

LAST_LINE = re.compile(
    r"^demo: (\d+) requests: (\d+) completed, (\d+) rolled back, (\d+) parked, (\d+) refused, 0 lost; "
    r"billed = delivered for 3 of 3 tenants$"
)


async def nothing_runs(directory: Path) -> bool:
    return not processes_of(directory)


async def test_the_demo_accounts_for_every_request_and_leaves_nothing_behind() -> None:
    async with reachable_directory() as directory:
        async with program(directory, "demo") as demo:
            assert await demo.ends() == 0, "\n".join(demo.lines[-20:])
        counts = LAST_LINE.match(demo.lines[-1])
        assert counts is not None, demo.lines[-1]
        asked, *ended = (int(number) for number in counts.groups())
        assert sum(ended) == asked
        (books,) = [line for line in demo.lines if line.startswith("reconciled: ")]
        assert ", 0 differences; " in books
        assert books.endswith(": clean")
        assert all(ended), "the demo shows a request of each ending"
        assert processes_of(directory) == []
        assert list(directory.iterdir()) == []


async def test_ctrl_c_while_it_is_furnished_leaves_no_process_and_no_file() -> None:
    async with reachable_directory() as directory:
        async with program(directory, "demo") as demo:
            await demo.says("Setting up")
            demo.interrupt()
            assert await demo.ends() == 130
        await until(lambda: nothing_runs(directory))
        assert list(directory.iterdir()) == []
