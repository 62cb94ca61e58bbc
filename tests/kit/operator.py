"""An operator at the command line of a running system."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from tests.kit.system import REPOSITORY, RunningSystem


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def leadsaga(system: RunningSystem, *arguments: object, actor: str = "ann") -> Said:
    """Runs the tool in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator", *map(str, arguments)),
        cwd=REPOSITORY,
        env={**system.children.environment, "LEADSAGA_ACTOR": actor},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())
