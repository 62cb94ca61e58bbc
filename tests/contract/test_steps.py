"""The rows of the definitions and the step files speak of the same steps."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import FACTS
from orchestrator.core.definition import Kind, Saga
from orchestrator.core.definition import Step as Row
from orchestrator.sagas import REGISTERED
from steps import catalogue
from steps.runtime.step import Single

ROOT = Path(__file__).parents[2]
STEPS = {f"steps.{name}" for name in catalogue.names()}
NO_STEPS = {"steps.runtime", "steps.catalogue", "steps.__main__", "steps.__init__"}
"""What may know the broker, or finds and starts the steps."""

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
    assert isinstance(step.do, Single) == (row.bundle == 1)


def test_every_step_file_has_a_row() -> None:
    assert catalogue.names() == sorted({row.name for saga in REGISTERED for row in saga.steps})


def test_every_fact_is_of_a_step_that_exists() -> None:
    assert set(FACTS) <= set(catalogue.names())


def _import_rule(name: str) -> dict[str, Any]:
    """Of import-linter, which takes no patterns that would find steps by themselves."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [rule] = [each for each in config["tool"]["importlinter"]["contracts"] if each["name"] == name]
    return dict(rule)


def test_the_rule_that_steps_are_independent_knows_every_step() -> None:
    assert sorted(STEPS) == sorted(_import_rule("steps are independent of each other")["modules"])


def test_the_rule_that_only_the_runtime_knows_the_broker_knows_every_step_and_what_steps_use() -> None:
    below = {f"steps.{file.stem}" for file in (ROOT / "steps").glob("*.py")}
    below |= {f"steps.{file.parent.name}" for file in (ROOT / "steps").glob("*/__init__.py")}
    assert STEPS <= below
    expected = sorted(below - NO_STEPS)
    assert expected == sorted(_import_rule("only the runtime knows the broker")["source_modules"])
