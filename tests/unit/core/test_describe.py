"""What a definition says of itself to readers."""

from datetime import timedelta
from textwrap import dedent

import pytest

from orchestrator.core.definition import retriable
from orchestrator.core.describe import duration, mermaid, table
from orchestrator.core.durations import hours, millis, minutes, seconds
from orchestrator.sagas.lead import LEAD
from tests.kit.small import A, B, E, P, R, saga_of

D = retriable("d", answered_by="flush")


def test_a_table_has_one_line_a_step_in_columns() -> None:
    expected = """\
        step  kind           undo    retry                                    timeout
        ----  -------------  ------  ---------------------------------------  -------
        a     compensatable  undo_a  2 attempts, 1 s to 1 min, at most 1 h    5 s
        p     pivot          -       2 attempts, 1 s to 1 min, at most 1 h    5 s
        d     retriable      -       answered by the flush                    -
        e     best_effort    -       2 attempts, 1 s to 1 min, at most 1 h    5 s
        """
    assert _squeezed(dedent(expected)) == _squeezed(table(saga_of(A, P, D, E)))


def _squeezed(text: str) -> list[list[str]]:
    return [
        [cell for cell in line.split("  ") if cell and not cell.startswith("-")] for line in text.split("\n")
    ]


def test_the_columns_of_a_table_are_aligned_and_no_line_ends_in_a_space() -> None:
    head, _, *rows = table(LEAD).splitlines()
    place = head.index("retry")
    assert all(row[place - 2 : place] == "  " and row[place] != " " for row in rows)
    assert all(row == row.rstrip() for row in table(LEAD).splitlines())


def test_a_table_says_that_a_limit_grows_with_the_leads() -> None:
    assert "1 min + 2 s a lead" in table(LEAD)


def test_a_diagram_shows_every_way_forward_and_back() -> None:
    expected = """\
        stateDiagram-v2
            [*] --> a
            a --> b: done
            a --> undo_a: failed or cancelled
            undo_a --> rolled_back: undone
            undo_a --> parked: spent
            b --> p: done
            b --> undo_b: failed or cancelled
            undo_b --> undo_a: undone
            undo_b --> parked: spent
            p --> r: done
            p --> undo_b: refused or cancelled
            p --> parked: in doubt or spent
            r --> e: done
            r --> parked: refused or spent
            e --> completed: done or skipped
            completed --> [*]
            rolled_back --> [*]
        """
    assert dedent(expected) == mermaid(saga_of(A, B, P, R, E))


def test_a_best_effort_step_before_the_pivot_can_be_turned_back_at() -> None:
    assert "e --> undo_a: cancelled" in mermaid(saga_of(A, E, P))
    assert "e --> rolled_back: cancelled" in mermaid(saga_of(E, P))


@pytest.mark.parametrize(
    ("value", "text"),
    [(millis(200), "200 ms"), (seconds(90), "1.5 min"), (minutes(30), "30 min"), (hours(24), "24 h")],
)
def test_durations_read_in_the_largest_unit_that_they_fill(value: timedelta, text: str) -> None:
    assert text == duration(value)
