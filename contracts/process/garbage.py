"""Less work for the garbage collector: what a group makes dies with it, and is rarely a cycle."""

import gc

YOUNG = 50_000
"""Objects made, and not yet gone, between two looks for cycles; Python's own number is 700. A group of
hundreds of sagas makes tens of thousands, none of them a cycle, and a fifth of a busy orchestrator's time
went into looking (decision 0023). What cycles there are may take some megabytes more until they are found."""


def collect_rarely() -> None:
    """For a process that has come up: what it made so far stays, and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
