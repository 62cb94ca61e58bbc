"""Whatever a step raises, its outcome can be stored, sent and read again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.outcomes import Outcome, Rejected, Transient, Unknown
from steps.runtime.failures import MAX_REASON, declared

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


@given(
    st.text(st.characters()),
    st.text(),
    st.floats() | st.none(),
    st.sampled_from((StepRejected, StepTransient)),
)
def test_any_text_and_any_wait_makes_an_outcome_that_travels(reason, name, wait, kind):
    error = kind(reason, error=name, **({"retry_after": wait} if kind is StepTransient else {}))
    outcome = declared(error)
    written = outcome.model_dump_json()

    assert outcome == OUTCOME.validate_json(written)
    assert "\0" not in "".join(map(str, json.loads(written).values()))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StepRejected("no"), Rejected(reason="no", error="StepRejected")),
        (
            StepTransient("later", retry_after=2.5),
            Transient(reason="later", error="StepTransient", retry_after=2.5),
        ),
        (StepUnknown("who knows"), Unknown(reason="who knows", error="StepUnknown")),
        (StepError("new kind"), Unknown(reason="new kind", error="StepError")),
        (StepTransient("never", retry_after=float("inf")), Transient(reason="never", error="StepTransient")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_class_that_is_raised_names_the_outcome_and_what_is_not_proved_is_unknown(error, expected):
    assert expected == declared(error)


def test_a_long_text_is_cut_to_what_an_outcome_holds():
    assert "x" * MAX_REASON == declared(StepRejected("x" * 10_000)).reason
