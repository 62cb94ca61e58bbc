import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.work.backoff import Backoff

BACKOFF = Backoff(first=1.0, ceiling=60.0)


@pytest.mark.parametrize(("attempts", "longest"), [(1, 1), (2, 2), (5, 16), (7, 60), (10_000, 60)])
def test_the_delay_doubles_up_to_its_ceiling(attempts, longest):
    assert BACKOFF.delay(attempts, draw=1.0) == longest
    assert BACKOFF.delay(attempts, draw=0.0) == longest / 2


@given(attempts=st.integers(0, 100), draw=st.floats(0, 1), asked=st.floats(0, 3600))
def test_what_the_outside_world_asked_for_is_never_undercut(attempts, draw, asked):
    assert BACKOFF.delay(attempts, draw=draw, retry_after=asked) >= asked


def test_scaling_shortens_every_own_delay_but_none_that_was_asked_for():
    scaled = BACKOFF.scaled(0.1)
    assert scaled.delay(1, draw=1.0) == pytest.approx(0.1)
    assert scaled.delay(1, draw=1.0, retry_after=5.0) == 5.0
