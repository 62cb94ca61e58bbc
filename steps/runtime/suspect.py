"""A bundle that was delivered again and again may hold a command that kills its process. It is worked through
one command at a time, each marked in a commit of its own before it runs, so that the culprit stands out."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from contracts.messages import Command
from steps.runtime.batch import Answers
from steps.runtime.effects import Memory, NoSaga
from steps.runtime.patience import patiently
from steps.runtime.ruling import Run, rule
from steps.runtime.single import MAX_STARTS, POISON


async def run_suspects(
    memory: Memory,
    commands: Sequence[Command],
    run: Callable[[Command], Awaitable[Answers]],
) -> Answers:
    """Waits for a database that is away."""
    answers = Answers()
    for command in commands:
        try:
            poison = await patiently(partial(_begun_too_often, memory, command))
        except NoSaga as error:
            answers.dead.append((command, str(error)))
            continue
        if poison:
            answers.dead.append((command, POISON))
        else:
            # Not marked again while the database is away: that would look like a death.
            answers.add(await patiently(partial(run, command)))
    return answers


async def _begun_too_often(memory: Memory, command: Command) -> bool:
    async with memory.transaction(command.tenant_id, name="suspect") as effects:
        effect = (await effects.lock([command]))[command.saga_id]
        if not isinstance(rule(effect, command.direction, command.attempt), Run):
            return False  # answered already: nothing will run
        return (await effects.mark_started(command)).starts > MAX_STARTS
