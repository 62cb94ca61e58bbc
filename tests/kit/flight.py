"""Messages on their way, as one number: two bits for each message, which say how often it may still arrive.

Nothing says that a message must arrive, nor in which order: a command arrives 0, 1 or 2 times, whenever it
likes. An answer needs one copy only: the machine is checked to ignore every second one.
"""

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from contracts.ids import Direction
from tests.kit.world import Name

COPIES = 2

T = TypeVar("T")


class Command(NamedTuple):
    step: str
    direction: Direction
    attempt: int


class Answer(NamedTuple):
    step: str
    direction: Direction
    attempt: int
    name: Name


Message = Command | Answer


class Numbered(Generic[T]):
    """Small numbers for values that are expensive to compare."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._values: list[T] = []

    def number(self, value: T) -> int:
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return number

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def __len__(self) -> int:
        return len(self._values)


def send(flight: int, number: int, copies: int = COPIES) -> int:
    return flight & ~(3 << 2 * number) | copies << 2 * number


def take(flight: int, number: int) -> int:
    """One copy less."""
    return flight - (1 << 2 * number)


def members(flight: int) -> Iterator[int]:
    while flight:
        number = ((flight & -flight).bit_length() - 1) // 2
        yield number
        flight &= ~(3 << 2 * number)
