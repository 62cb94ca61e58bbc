"""What is delivered while a bundle of the same queue is carried out waits, and all that waits is carried out
as one bundle: under load transactions grow, and not their number. An idle queue carries out each as it comes.

One transaction of a queue is under way at a time. What came of it is published while the next one runs.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from contracts.messages import Command
from contracts.process.consuming import Delivery
from steps.runtime.batch import Answers

MOST = 400
"""Commands of several deliveries in one transaction. One delivery alone may have more."""


@dataclass(slots=True, eq=False)
class Taken:
    """A delivery, as its queue has sorted it."""

    delivery: Delivery
    commands: list[Command]
    misplaced: list[tuple[Command, str]]
    """With the reason why each is given up."""

    def given_up(self, answers: Answers) -> list[tuple[Command, str]]:
        """Its own share. Of a command that came in two deliveries each has its copy."""
        mine = set(map(id, self.commands)) if answers.dead else ()
        return [*(pair for pair in answers.dead if id(pair[0]) in mine), *self.misplaced]


Run = Callable[[Sequence[Taken]], Awaitable[Answers]]
"""The transaction. Cancelled, it is rolled back."""

Tell = Callable[[Sequence[Taken], Answers], Awaitable[None]]
"""Returns when all that came of it is confirmed."""


@dataclass(slots=True, eq=False)
class _Waits:
    taken: Taken
    told: "asyncio.Future[None]"
    """Cancelled with who waits."""
    group: "_Group | None" = None


@dataclass(slots=True, eq=False)
class _Group:
    members: list[_Waits]
    task: "asyncio.Task[None]"

    def end(self, error: BaseException | None) -> None:
        for each in self.members:
            if each.told.done():
                continue
            if error is None:
                each.told.set_result(None)
            elif isinstance(error, Exception):
                each.told.set_exception(error)
            else:
                each.told.cancel()  # broken off: it is left to be delivered again

    async def leave(self) -> None:
        """Others who are in it are not broken off. What nobody waits for any more is."""
        if all(each.told.cancelled() for each in self.members) and self.task.cancel():
            await asyncio.wait([self.task])


@dataclass(slots=True)
class Together:
    """Of one queue."""

    run: Run
    tell: Tell
    waiting: deque[_Waits] = field(default_factory=deque)
    under_way: bool = False
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def take(self, taken: Taken) -> None:
        """Returns when what came of it is confirmed. Cancelled, it is carried out no more if it only waits;
        and when all that were put together with it are cancelled too, their transaction is rolled back."""
        mine = _Waits(taken, asyncio.get_running_loop().create_future())
        self.waiting.append(mine)
        self._next()
        try:
            await mine.told
        except asyncio.CancelledError:
            if mine.group is not None:
                await mine.group.leave()
            elif mine in self.waiting:
                self.waiting.remove(mine)
            raise

    def _next(self) -> None:
        if self.waiting and not self.under_way:
            self.under_way = True
            # It puts together whatever has come by the time it begins.
            task = asyncio.create_task(self._carry_out())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _put_together(self) -> _Group:
        group, commands = _Group([], cast("asyncio.Task[None]", asyncio.current_task())), 0
        while self.waiting:
            commands += len(self.waiting[0].taken.commands)
            if group.members and commands > MOST:
                break
            group.members.append(self.waiting.popleft())
            group.members[-1].group = group
        return group

    async def _carry_out(self) -> None:
        group = self._put_together()
        taken = [each.taken for each in group.members]
        try:
            try:
                answers = await self.run(taken) if taken else Answers()
            finally:
                self.under_way = False
                self._next()
            if taken:
                await self.tell(taken, answers)
        except BaseException as error:
            group.end(error)
            if not isinstance(error, Exception):
                raise
        else:
            group.end(None)
