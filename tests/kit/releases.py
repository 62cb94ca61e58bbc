"""The release after this one: its lead saga is version 2, with the step of the README's tutorial.

`python -m tests.kit.releases orchestrator` and `... verify_emails` run its processes. Its orchestrator knows
both versions and begins the second.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import uvloop

import orchestrator.sagas as known
from contracts.process.settings import BadSettings
from orchestrator.core.definition import Saga, Step, Timeout, compensatable
from orchestrator.core.durations import seconds
from orchestrator.sagas.lead import LEAD, LEDGER
from orchestrator.sagas.refund import REFUND
from steps.runtime.process import run

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

BRIEFLY = {"generate_leads": Timeout(seconds(2))}
SOON = (seconds(4),)


def _block(part: str) -> str:
    [found] = [each for each in BLOCKS if part in each]
    return str(found)


def _row() -> Step:
    names = {"compensatable": compensatable, "LEDGER": LEDGER, "seconds": seconds}
    row = eval(_block('compensatable("verify_emails"').strip().rstrip(","), names)
    assert isinstance(row, Step)
    return row


def _second(saga: Saga, row: Step) -> Saga:
    """What an older process let go is missed soon, for a test that waits for it."""
    steps = []
    for step in saga.steps:
        steps += [step, row] if step.name == "generate_leads" else [step]
    half = Timeout(seconds(0.5))
    steps = [replace(step, timeout=BRIEFLY.get(step.name, half), resend=SOON) for step in steps]
    return replace(saga, version=2, steps=tuple(steps))


LEAD_2 = _second(LEAD, _row())
CURRENT = (LEAD_2, REFUND)
REGISTERED = (LEAD, LEAD_2, REFUND)


def main(arguments: list[str]) -> int:
    # Whoever is imported from here on knows the next release's sagas.
    known.CURRENT, known.REGISTERED = CURRENT, REGISTERED
    try:
        uvloop.run(_orchestrator() if arguments == ["orchestrator"] else _step())
    except BadSettings as error:
        sys.stderr.write(f"{error}\n")
        return BadSettings.EXIT_CODE
    return 0


async def _orchestrator() -> None:
    from orchestrator.app import run as orchestrate  # noqa: PLC0415

    await orchestrate()


async def _step() -> None:
    module = ModuleType("steps.verify_emails")
    exec(_block("async def verify_emails"), module.__dict__)
    await run([module.STEP])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
