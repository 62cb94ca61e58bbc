"""Text for a terminal. Tenants wrote some of it: it must neither steer the terminal nor be read as markup."""

import os
import re
import sys
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reorder what stands beside them, so that a line reads as something it is not."""

UNSHOWABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
WIDTH_WITHOUT_TERMINAL = 160

STYLES = {
    "completed": "green",
    "succeeded": "green",
    "answered": "green",
    "sent": "green",
    "confirmed": "green",
    "done": "green",
    "rolled_back": "yellow",
    "unwinding": "yellow",
    "failed": "red",
    "parked": "bold red",
    "rejected": "red",
    "running": "cyan",
}

WIDE = 150
"""Columns of a terminal from which on there is room for whole ids."""

_LONG_ID = re.compile(r"(?=[\w-]*\d)[\w-]{24,}")
_ENDS = 8


@dataclass(frozen=True, slots=True)
class Ids:
    """A cell of names and ids, each on a line of its own if there are several. On a console that is not WIDE
    long ids lose their middle, which tells least."""

    lines: tuple[str, ...]
    style: str = ""

    def _text(self, console: Console) -> Text:
        cleaned = [clean(line) for line in self.lines]
        shown = cleaned if console.width >= WIDE else [_LONG_ID.sub(_ends, line) for line in cleaned]
        return Text("\n".join(shown), style=self.style)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._text(console)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text(console))


def ids(*lines: Any, style: str = "") -> Ids:
    return Ids(tuple("" if line is None else str(line) for line in lines), style)


def _ends(found: re.Match[str]) -> str:
    return f"{found[0][:_ENDS]}…{found[0][-_ENDS:]}"


def clean(value: Any) -> str:
    """One line without control characters; line breaks and tabs become spaces."""
    text = "" if value is None else str(value)
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\r\t\u2028\u2029":
        return " "
    if character in DIRECTION or unicodedata.category(character) in UNSHOWABLE:
        return ""
    return character


def plain(value: Any, style: str = "") -> Text:
    """Never read as markup."""
    return Text(clean(value), style=style)


def style_of(word: str) -> str:
    """Of what a word says about a saga or a part of it."""
    return STYLES.get(word, "")


def status(word: str | None) -> Text:
    return plain(word, style_of(word or ""))


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def day_time(at: datetime | None) -> str:
    """Where something else tells the year."""
    return "" if at is None else f"{at:%m-%d %H:%M:%S}"


def table(title: str, *headings: str) -> Table:
    made = Table(title=plain(title, "bold"), title_justify="left", header_style="bold", expand=False)
    for heading in headings:
        right = heading.startswith(">")
        made.add_column(
            plain(heading.removeprefix(">")), justify="right" if right else "left", overflow="fold"
        )
    return made


def add(made: Table, *cells: Any) -> None:
    made.add_row(*(cell if isinstance(cell, Text | Ids) else plain(cell) for cell in cells))


def console() -> Console:
    """Of standard output: as wide as the terminal, or wide enough for a file."""
    terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(
        markup=False, emoji=False, highlight=False, width=None if terminal else WIDTH_WITHOUT_TERMINAL
    )
