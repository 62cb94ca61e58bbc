"""Runs one command: its result on standard output, what went wrong on standard error, and the exit code."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import RenderableType

from contracts.process.postgres import Database
from contracts.process.settings import BadSettings
from orchestrator.operate.errors import MEANING, Exit, OperateError
from orchestrator.operate.plain import dumps
from orchestrator.operate.render.text import clean, console
from orchestrator.operate.session import operator_database

T = TypeVar("T")


def perform(
    work: Callable[[], Coroutine[Any, Any, T]],
    render: Callable[[T], RenderableType | None],
    *,
    as_json: bool,
    code: Callable[[T], Exit] = lambda _: Exit.OK,
) -> None:
    """`render` returns None for what wrote itself. Raises typer.Exit unless the code is 0."""
    try:
        result = asyncio.run(work())
    except OperateError as error:
        fail(error.code, [str(error)], as_json=as_json)
    except BadSettings as error:
        fail(Exit.BAD_SETTINGS, error.faults, as_json=as_json)
    if as_json:
        print(dumps(result, indent=2))
    elif (shown := render(result)) is not None:
        console().print(shown)
    if code(result) is not Exit.OK:
        raise typer.Exit(code(result))


def on_database(work: Callable[[Database], Awaitable[T]]) -> Callable[[], Coroutine[Any, Any, T]]:
    """Work for `perform` on the operators' database."""

    async def run() -> T:
        async with operator_database() as database:
            return await work(database)

    return run


def fail(code: Exit, faults: list[str], *, as_json: bool = False) -> NoReturn:
    """One line a fault. Raises typer.Exit."""
    if as_json:
        print(dumps({"error": {"code": int(code), "meaning": MEANING[code], "faults": faults}}, indent=2))
    else:
        for fault in faults:
            print(clean(fault), file=sys.stderr)
    raise typer.Exit(code)
