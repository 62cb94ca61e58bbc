"""A bundle that was delivered again and again may hold a command that kills its process. It is worked through
one command at a time, each marked in a commit of its own before it runs, so that the culprit stands out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from contracts.messages import Command
from steps.runtime.batch import Answers
from steps.runtime.effects import Memory, NoSaga, Start
from steps.runtime.patience import patiently
from steps.runtime.ruling import Run, rule
from steps.runtime.single import MAX_STARTS, POISON, interrupted


async def run_suspects(
    memory: Memory,
    commands: Sequence[Command],
    run: Callable[[Command], Awaitable[Answers]],
    *,
    forgiving: bool = True,
) -> Answers:
    """Waits for a database that is away. Cancelled, it takes back the mark of the command it broke off, if it
    is `forgiving`."""
    answers = Answers()
    for command in commands:
        try:
            start = await patiently(partial(_marked, memory, command))
        except NoSaga as error:
            answers.dead.append((command, str(error)))
            continue
        if start is not None and start.starts > MAX_STARTS:
            answers.dead.append((command, POISON))
            continue
        try:
            # Not marked again while the database is away: that would look like a death.
            answers.add(await patiently(partial(run, command)))
        except asyncio.CancelledError:
            if start is not None and forgiving:
                await asyncio.shield(interrupted(memory, command, start.run))
            raise
    return answers


async def _marked(memory: Memory, command: Command) -> Start | None:
    """None when it is answered already: nothing will run."""
    async with memory.transaction(command.tenant_id, name="suspect") as effects:
        [effect] = await effects.lock([command])
        if not isinstance(rule(effect, command.direction, command.attempt), Run):
            return None
        return await effects.mark_started(command)
