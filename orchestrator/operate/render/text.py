"""Text for a terminal. Tenants wrote some of it: it must neither steer the terminal nor be read as markup."""

import os
import sys
import unicodedata
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reorder what stands beside them, so that a line reads as something it is not."""

UNSHOWABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
WIDTH_WITHOUT_TERMINAL = 160


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


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def table(title: str, *headings: str) -> Table:
    made = Table(title=plain(title, "bold"), title_justify="left", header_style="bold", expand=False)
    for heading in headings:
        right = heading.startswith(">")
        made.add_column(
            plain(heading.removeprefix(">")), justify="right" if right else "left", overflow="fold"
        )
    return made


def add(made: Table, *cells: Any) -> None:
    made.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in cells))


def console() -> Console:
    """Of standard output: as wide as the terminal, or wide enough for a file."""
    terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(
        markup=False, emoji=False, highlight=False, width=None if terminal else WIDTH_WITHOUT_TERMINAL
    )
