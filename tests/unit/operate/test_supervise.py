"""Programs run side by side: what dies is started again, and all stop together."""

import asyncio
import os
import sys
from collections.abc import Callable

from orchestrator.operate.supervise import Program, Supervisor

FOREVER = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print(flush=True); signal.pause()"


def program(name: str, code: str) -> Program:
    return Program(name=name, arguments=[sys.executable, "-c", code], environment={})


class Heard(list[str]):
    """What was said; `until` waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def say(self, words: str) -> None:
        self.append(words)
        self.changed.set()

    async def until(self, holds: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds(self):
                self.changed.clear()
                await self.changed.wait()

    def started(self, name: str) -> list[int]:
        return [int(said.rsplit(" ", 1)[1]) for said in self if said.startswith(f"{name}: started")]


def supervisor(heard: Heard, stopping: asyncio.Event) -> Supervisor:
    return Supervisor(say=heard.say, stopping=stopping, grace=10.0, first_pause=0.01)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_program_that_dies_is_started_again_and_stopped_with_the_others() -> None:
    heard, stopping = Heard(), asyncio.Event()
    programs = [program("steady", FOREVER), program("frail", "raise SystemExit(3)")]
    run = asyncio.create_task(supervisor(heard, stopping).run(programs))
    await heard.until(lambda _: len(heard.started("frail")) >= 3 and bool(heard.started("steady")))
    stopping.set()
    assert 0 == await run
    assert any("frail: ended with 3; starting it again" in said for said in heard)
    assert [] == [each for name in ("steady", "frail") for each in heard.started(name) if alive(each)]
    assert 1 == len(heard.started("steady"))


async def test_wrong_settings_stop_everything_with_their_own_code() -> None:
    heard = Heard()
    programs = [program("steady", FOREVER), program("unset", "raise SystemExit(78)")]
    async with asyncio.timeout(20):
        assert 78 == await supervisor(heard, asyncio.Event()).run(programs)
    assert 1 == len(heard.started("unset"))
    assert not any(map(alive, heard.started("steady")))


async def test_a_program_that_will_not_stop_is_killed() -> None:
    heard, stopping = Heard(), asyncio.Event()
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN)\nwhile True: signal.pause()"
    watch = Supervisor(say=heard.say, stopping=stopping, grace=0.2)
    run = asyncio.create_task(watch.run([program("stubborn", stubborn)]))
    await heard.until(lambda _: bool(heard.started("stubborn")))
    stopping.set()
    async with asyncio.timeout(20):
        assert 0 == await run
    assert not any(map(alive, heard.started("stubborn")))
