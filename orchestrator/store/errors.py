class LogConflict(Exception):
    """a saga's log is not as long as it was when it was read: somebody wrote to it without its lock"""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)
