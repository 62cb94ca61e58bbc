"""Steps that a request can kill, or make fail: `python -m tests.kit.killable NAME ...`.

A request whose criteria say `kills NAME` ends the process of that step with SIGKILL as soon as its command
runs; one that says `fails NAME` fails every attempt of it, surely without an effect.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from contracts.errors import StepTransient
from contracts.messages import Command
from contracts.outcomes import Outcome
from steps import catalogue
from steps.runtime.process import run
from steps.runtime.step import Attempt, Batch, Connection, Said, Step, Work


def killable(step: Step) -> Step:
    return replace(step, do=_killable(step.do))


def _killable(work: Work) -> Work:
    if isinstance(work, Batch):
        whole = work.run

        async def run_batch(connection: Connection, commands: Sequence[Command]) -> Sequence[Said]:
            for command in commands:
                _meet(command)
            return await whole(connection, commands)

        return replace(work, run=run_batch)
    alone = work.run

    async def run_single(command: Command, attempt: Attempt) -> Outcome:
        _meet(command)
        return await alone(command, attempt)

    return replace(work, run=run_single)


def _meet(command: Command) -> None:
    criteria = str(command.request.get("criteria"))
    if f"kills {command.step}" in criteria:
        os.kill(os.getpid(), signal.SIGKILL)
    if f"fails {command.step}" in criteria:
        raise StepTransient("not today", error="OutOfOrder")


def main(names: list[str]) -> int:
    uvloop.run(run([killable(catalogue.find(name)) for name in names]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
