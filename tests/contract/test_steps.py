"""The rows of the definitions and the step files speak of the same steps."""

import pytest

from contracts.facts import FACTS
from orchestrator.core.definition import Kind, Saga
from orchestrator.core.definition import Step as Row
from orchestrator.sagas import REGISTERED
from steps import catalogue
from steps.runtime.step import Single

ROWS = [
    pytest.param(saga, row, id=f"{saga.name} v{saga.version} {row.name}")
    for saga in REGISTERED
    for row in saga.steps
]


@pytest.mark.parametrize(("saga", "row"), ROWS)
def test_every_row_has_a_step_file_that_does_and_undoes_what_it_says(saga: Saga, row: Row) -> None:
    step = catalogue.find(row.name)
    assert row.undo == step.undo_name
    assert (row.kind is Kind.COMPENSATABLE) == (step.undo is not None)


@pytest.mark.parametrize(("saga", "row"), ROWS)
def test_commands_of_steps_that_call_a_vendor_travel_alone(saga: Saga, row: Row) -> None:
    step = catalogue.find(row.name)
    expected = 1 if isinstance(step.do, Single) else step.do.most
    assert expected == row.bundle


def test_every_step_file_has_a_row() -> None:
    assert catalogue.names() == sorted({row.name for saga in REGISTERED for row in saga.steps})


def test_every_fact_is_of_a_step_that_exists() -> None:
    assert set(FACTS) <= set(catalogue.names())
