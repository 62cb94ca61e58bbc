"""How a command can end, and the errors that say so. A class's docstring is its default message."""

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """The exit codes of the tool."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4
    UNAVAILABLE = 69
    BAD_SETTINGS = 78


MEANING: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "refused or failed",
    Exit.USAGE: "wrong usage",
    Exit.NOT_FOUND: "not found",
    Exit.TIMED_OUT: "timed out waiting; what was ordered stays ordered",
    Exit.UNAVAILABLE: "database or broker unavailable",
    Exit.BAD_SETTINGS: "wrong or missing settings",
}


class OperateError(Exception):
    """the command could not be carried out"""

    code: ClassVar[Exit] = Exit.FAILED

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class Refused(OperateError):
    """refused"""


class BadUsage(OperateError):
    """wrong usage"""

    code = Exit.USAGE


class NotFound(OperateError):
    """there is no such thing"""

    code = Exit.NOT_FOUND


class TimedOut(OperateError):
    """nothing was heard in time"""

    code = Exit.TIMED_OUT


class Unavailable(OperateError):
    """a service cannot be reached"""

    code = Exit.UNAVAILABLE
