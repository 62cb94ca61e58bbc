"""A process ends in time although everything that it is connected to is away."""

import pytest

from contracts.process.lifecycle import BREAK_SECONDS, LEAVE_SECONDS
from contracts.process.settings import CLOSING_SECONDS, ProcessSettings
from contracts.process.waiting import CLOSE_SECONDS


def test_what_is_kept_for_closing_holds_every_wait_of_it() -> None:
    publisher = pool = CLOSE_SECONDS
    assert LEAVE_SECONDS + BREAK_SECONDS + publisher + pool <= CLOSING_SECONDS


@pytest.mark.parametrize(("given", "to_finish"), [(20.0, 15.0), (10.0, 5.0), (6.0, 3.0)])
def test_what_was_begun_may_take_all_the_time_but_that_and_at_least_half_of_it(
    given: float, to_finish: float
) -> None:
    assert to_finish == ProcessSettings(drain_seconds=given).finish_seconds
