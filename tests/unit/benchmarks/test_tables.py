"""What is made of the rounds' numbers."""

import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.__main__ import parsed
from tests.benchmarks.load import latencies, percentile
from tests.benchmarks.parts import Case
from tests.benchmarks.svg import bars
from tests.benchmarks.tables import Spread, against_floors, parts, plain, summary, text, write

ROUNDS = {
    "floors": [[Case("asyncpg", {"sagas/s": rate})] for rate in (1000.0, 2000.0, 500.0)],
    "engine": [[Case("100 tenants", {"sagas/s": rate})] for rate in (300.0, 200.0, 100.0)],
}


def test_the_median_of_the_rounds_is_shown_with_its_spread() -> None:
    found = summary(ROUNDS)
    assert Spread(200, 100, 300) == found["engine"]["100 tenants"]["sagas/s"]
    assert "| 100 tenants | 200 (100..300) |" in text(parts({"rounds": 3}, ROUNDS))


def test_what_is_held_against_a_floor_is_of_the_same_round() -> None:
    assert {"engine, 100 tenants, of asyncpg": Spread(0.2, 0.1, 0.3)} == against_floors(ROUNDS)


def test_a_part_that_is_not_measured_again_keeps_what_was_found_and_where(tmp_path: Path) -> None:
    write(tmp_path, {"machine": "old"}, ROUNDS)
    again = write(tmp_path, {"machine": "new"}, {"engine": [[Case("100 tenants", {"sagas/s": 900.0})]]})
    assert again == (tmp_path / "bench.md").read_text()
    floors, engine = again.split("## engine")
    assert "machine: old" in floors
    assert "machine: new" in engine
    assert "| 100 tenants | 900 |" in engine
    assert "floors" not in engine, "they are of other rounds"
    assert {"bench.json", "bench.md", "bench-engine.svg", "bench-floors.svg"} == {
        file.name for file in tmp_path.iterdir()
    }


def test_without_floors_nothing_is_held_against_them() -> None:
    assert {} == against_floors({"engine": ROUNDS["engine"]})


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 5.0), (95, 10.0), (99, 10.0), (100, 10.0), (10, 1.0), (11, 2.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert expected == percentile([10.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], percent)


def test_nothing_has_no_percentiles() -> None:
    assert all(math.isnan(value) for value in latencies([]).values())


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12345.6, "12,346"), (12.345, "12.3"), (0.25, "0.25"), (0.0, "0"), (math.nan, "-")],
)
def test_numbers_are_written_as_people_write_them(value: float, expected: str) -> None:
    assert expected == plain(value)


def test_a_plot_has_a_bar_for_each_case() -> None:
    plot = ET.fromstring(bars("engine <sagas/s>", {"a & b": (1, 2, 3), "c": (0, 0, 0)}))
    texts = [each.text for each in plot.iter("{http://www.w3.org/2000/svg}text")]
    assert ["engine <sagas/s>", "a & b", "2", "c", "0"] == texts


def test_a_quick_run_leaves_the_results_alone() -> None:
    assert parsed(["--quick"]).results is None
    assert parsed([]).results is not None


def test_a_part_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["engines"])
    assert "there is no part engines" in capsys.readouterr().err
