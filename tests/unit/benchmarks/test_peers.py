"""What is made of the peers' numbers, and what happens to peers that are not there."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.parts import Case
from tests.benchmarks.peers.__main__ import ours, parsed
from tests.benchmarks.peers.environment import VARIABLE, PeerMissing, versions
from tests.benchmarks.peers.figures import against_ours, costs, text, write
from tests.benchmarks.peers.roster import PEERS
from tests.benchmarks.tables import Spread

ROUNDS = [
    [Case("ours, 100 tenants", {"sagas/s": 2000.0}), Case("Restate", {"sagas/s": 200.0})],
    [Case("ours, 100 tenants", {"sagas/s": 1000.0}), Case("Restate", {"sagas/s": 200.0})],
    [Case("ours, 100 tenants", {"sagas/s": 1800.0})],
]
CPU = {"python": 1.0, "database": 0.25, "client": 0.5, "machine": 9.0, "all": 7.0}


def per_saga(**more: float) -> dict[str, float]:
    return {f"CPU ms: {name}": value for name, value in {**CPU, **more}.items()}


def test_ours_is_held_against_a_peer_of_the_same_round() -> None:
    assert Spread(7.5, 5, 10) == against_ours(ROUNDS)["Restate"]


@pytest.mark.parametrize("engine", ["broker", "engine"])
def test_a_broker_and_a_server_of_the_peer_are_both_its_engine(engine: str) -> None:
    found = costs(per_saga(**{engine: 2.0}))
    assert (3.25, 2.0) == (found["CPU ms: all"], found["CPU ms: engine"])


def test_the_load_is_no_part_of_what_a_peer_costs() -> None:
    found = costs(per_saga(load=4.0))
    assert (1.25, 4.5) == (found["CPU ms: all"], found["CPU ms: client"])


def test_the_table_says_what_is_not_equal_and_who_is_left_out() -> None:
    shown = text({"rounds": 3}, ROUNDS, {"DBOS": "not installed"}, {"Restate": "no queue"})
    assert "| Restate | 200 | 7.5 (5..10) |" in shown
    assert "- not measured: DBOS: not installed" in shown
    assert "- **Restate**: no queue" in shown


def test_results_are_written_side_by_side(tmp_path: Path) -> None:
    shown = write(tmp_path, {}, ROUNDS, {}, {})
    assert {"peers.json", "peers.md", "peers.svg"} == {file.name for file in tmp_path.iterdir()}
    assert shown == (tmp_path / "peers.md").read_text()


def test_our_latency_stands_with_the_typical_number_of_tenants() -> None:
    waits = {"p50 ms": 10.0, "p95 ms": 15.0, "p99 ms": 20.0}
    saturated = [Case(f"{count} tenants", {"sagas/s": 5.0} | per_saga(broker=1.0)) for count in (100, 1)]
    first, second = ours(saturated, [Case("50 sagas/s", waits)])
    assert ("ours, 100 tenants", 50.0, 20.0) == (
        first.name,
        first.metrics["latency at /s"],
        first.metrics["p99 ms"],
    )
    assert "p99 ms" not in second.metrics


def test_a_peer_without_interpreter_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/python")
    with pytest.raises(PeerMissing, match="make bench-peers"):
        asyncio.run(versions(PEERS["dbos"]))


def test_a_peer_whose_package_is_not_there_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(PeerMissing, match="no-such-peer"):
        asyncio.run(versions(replace(PEERS["dbos"], packages=("no-such-peer",))))


def test_a_peer_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["temporal"])
    assert "there is no peer temporal" in capsys.readouterr().err
