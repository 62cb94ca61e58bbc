"""When to try again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.definition_error import BadSaga
from orchestrator.core.durations import hours, millis, minutes, seconds
from orchestrator.core.retry import Retry

RETRY = Retry(attempts=5, first=seconds(2), ceiling=seconds(60), budget=minutes(10))
ALMOST_ONE = 1 - 2**-53
tries = st.integers(1, 10_000)
draws = st.floats(0, ALMOST_ONE)


def test_the_bound_doubles_up_to_the_ceiling() -> None:
    bounds = [RETRY.delay_after(tries=n, draw=1.0).total_seconds() for n in range(1, 8)]
    assert [2, 4, 8, 16, 32, 60, 60] == bounds


@settings(derandomize=True)
@given(tries, draws)
def test_full_jitter_stays_between_nothing_and_the_bound(count: int, draw: float) -> None:
    bound = RETRY.delay_after(tries=count, draw=1.0)
    assert timedelta(0) <= RETRY.delay_after(tries=count, draw=draw) <= bound <= RETRY.ceiling


@settings(derandomize=True)
@given(tries, draws, st.integers(0, 10**6))
def test_what_was_asked_for_is_never_undercut(count: int, draw: float, asked: int) -> None:
    assert RETRY.delay_after(tries=count, draw=draw, retry_after=seconds(asked)) >= seconds(asked)


def test_jitter_spreads_the_delay_evenly() -> None:
    assert seconds(4) == RETRY.delay_after(tries=3, draw=0.5)
    assert seconds(0) == RETRY.delay_after(tries=3, draw=0.0)


@pytest.mark.parametrize(
    ("count", "elapsed", "last"),
    [
        (1, seconds(0), False),
        (4, seconds(599), False),
        (5, seconds(0), True),
        (6, seconds(0), True),
        (1, seconds(600), True),
    ],
)
def test_an_attempt_is_the_last_by_count_or_by_time(count: int, elapsed: timedelta, last: bool) -> None:
    assert last is RETRY.is_last(tries=count, elapsed=elapsed)


def test_a_scaled_policy_waits_less_and_tries_as_often() -> None:
    expected = Retry(attempts=5, first=millis(20), ceiling=millis(600), budget=seconds(6))
    assert expected == RETRY.scaled(0.01)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"attempts": 0}, "at least one attempt"),
        ({"first": seconds(0)}, "0 < first <= ceiling"),
        ({"first": minutes(2)}, "0 < first <= ceiling"),
        ({"factor": 0.5}, "at least 1"),
        ({"budget": seconds(59)}, "at least its ceiling"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(wrong: dict[str, Any], complaint: str) -> None:
    fields: dict[str, Any] = {
        "attempts": 5,
        "first": seconds(2),
        "ceiling": seconds(60),
        "budget": hours(1),
        **wrong,
    }
    with pytest.raises(BadSaga, match=complaint):
        Retry(**fields)
