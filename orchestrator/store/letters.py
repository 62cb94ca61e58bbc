"""The rule for a letter that dies again, the same for every store."""

from dataclasses import replace

from orchestrator.store.port import Letter


def seen_again(earlier: Letter, now: Letter) -> Letter:
    """What became of it the first time does not settle it the second time."""
    status = now.status if "open" in {now.status, earlier.status} else earlier.status
    return replace(earlier, times_seen=earlier.times_seen + now.times_seen, status=status)
