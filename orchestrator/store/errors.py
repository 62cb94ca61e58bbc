from contracts.process.postgres import AGAIN


class LogConflict(Exception):
    """a saga's log is not as long as it was when it was read: somebody else was faster"""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


LOST_RACE: tuple[type[Exception], ...] = (*AGAIN, LogConflict)
"""Nothing of a unit of work happened, and the same again may succeed: read anew, decided anew."""
