"""The tables of speed in the README are what the results say, and say what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy import speed_table


def spread(median: float) -> dict[str, float]:
    return {"median": median, "least": median, "most": median}


def kept(folder: Path, name: str, told: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(told))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(speed_table, "RESULTS", tmp_path)
    return tmp_path


def test_each_peer_has_a_line_with_how_many_times_as_many_sagas_ours_ends(results: Path) -> None:
    kept(
        results,
        "peers.json",
        {
            "summary": {
                "Other 1.0": {
                    "sagas/s": spread(123.4),
                    "CPU ms: all": spread(9.876),
                    "p50 ms": spread(12.34),
                    "latency at /s": spread(50),
                }
            },
            "against ours": {"Other 1.0": spread(7.89)},
        },
    )
    assert "| Other 1.0 | 123 | 7.9 | 9.88 | 12.3 at 50/s |" in speed_table.peers_table()


def test_a_goal_stands_beside_what_was_measured(results: Path) -> None:
    engine = {"100 tenants, one process": {"sagas/s": spread(1234.5), "CPU ms: all": spread(1.6)}}
    ratios = {"engine, 100 tenants, one process, of asyncpg": spread(0.123)}
    kept(results, "bench.json", {"engine": {"found": engine, "ratios": ratios}})
    table = speed_table.goals_table()
    assert "| sagas/s, 100 tenants | 1,234 | 2,000 |" in table
    assert "same rounds | 0.12 | 0.2 |" in table


def test_what_was_not_measured_is_said_not_to_be(results: Path) -> None:
    assert speed_table.NOT_MEASURED == speed_table.peers_table()
    assert f"| orchestrator, MB | {speed_table.NOT_MEASURED} | 150 |" in speed_table.goals_table()
    assert list(results.iterdir()) == []
