"""The tool says what is wrong in one line a fault, and with a documented exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from contracts.process.settings import BadSettings
from orchestrator.__main__ import main
from orchestrator.core import state as core
from orchestrator.operate.cli.sagas import SagaKind, Status
from orchestrator.operate.cli.system import programs, step_names
from orchestrator.operate.errors import MEANING, Exit
from orchestrator.operate.find import SAGAS
from orchestrator.operate.role_passwords import RoleUrls, passwords, scram_verifier
from orchestrator.sagas import REGISTERED

Said = pytest.CaptureFixture[str]
REPOSITORY = Path(__file__).parents[3]
NOBODY_LISTENS = "127.0.0.1:9"


def test_every_exit_code_is_in_the_help(capsys: Said) -> None:
    assert 0 == main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert set(Exit) == set(MEANING)
    assert all(f"{code.value} {meaning}" in said for code, meaning in MEANING.items())


def test_bad_settings_are_the_code_that_processes_use() -> None:
    assert BadSettings.EXIT_CODE == Exit.BAD_SETTINGS


@pytest.mark.parametrize("arguments", [["list"], ["migrate"], ["request", "--criteria", "x"]])
def test_missing_settings_are_named_one_a_line(
    arguments: list[str], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPERATOR", "DATABASE", "AMQP"):
        monkeypatch.delenv(f"LEADSAGA_{name}_URL", raising=False)
    monkeypatch.setenv("LEADSAGA_QUEUE_PREFIX", "NOT ALLOWED")
    more = ["--tenant", "acme", "--leads", "1"] if arguments[0] == "request" else []
    assert 78 == main([*arguments, *more])
    faults = capsys.readouterr().err.splitlines()
    assert (2 if more else 1) == len(faults)
    assert all("LEADSAGA_" in fault and "NOT ALLOWED" not in fault for fault in faults)


def test_with_json_a_fault_is_json_too(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADSAGA_OPERATOR_URL", raising=False)
    assert 78 == main(["usage", "--json"])
    said = capsys.readouterr()
    expected = {
        "code": 78,
        "meaning": MEANING[Exit.BAD_SETTINGS],
        "faults": ["LEADSAGA_OPERATOR_URL is not set"],
    }
    assert ({"error": expected}, "") == (json.loads(said.out), said.err)


@pytest.mark.parametrize(
    ("setting", "url", "arguments"),
    [
        ("OPERATOR", f"postgresql://leadsaga_operator:s3cr3t@{NOBODY_LISTENS}/x", ["tenants", "list"]),
        ("DATABASE", f"postgresql://postgres:s3cr3t@{NOBODY_LISTENS}/x", ["migrate"]),
        (
            "AMQP",
            f"amqp://guest:s3cr3t@{NOBODY_LISTENS}/",
            ["cancel", "r-1", "--tenant", "acme", "--reason", "enough", "--over-amqp"],
        ),
    ],
)
def test_an_unreachable_service_is_one_line_without_a_password(
    setting: str, url: str, arguments: list[str], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LEADSAGA_{setting}_URL", url)
    assert 69 == main(arguments)
    (fault,) = capsys.readouterr().err.splitlines()
    assert NOBODY_LISTENS in fault
    assert "s3cr3t" not in fault


@pytest.mark.parametrize(
    "url", ["garbage", "mysql://s3cr3t@h/x", "{scheme}://h:s3cr3t/x", "{scheme}://[s3cr3t/x"]
)
@pytest.mark.parametrize(
    ("setting", "scheme", "arguments"),
    [
        ("OPERATOR", "postgresql", ["list"]),
        ("DATABASE", "postgresql", ["migrate"]),
        ("DATABASE", "postgresql", ["migrate", "--wait"]),
        ("AMQP", "amqp", ["request", "--tenant", "acme", "--leads", "1", "--criteria", "x"]),
    ],
)
def test_a_malformed_url_is_one_line_that_names_its_setting(
    setting: str, scheme: str, arguments: list[str], url: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LEADSAGA_{setting}_URL", url.format(scheme=scheme))
    assert 78 == main(arguments)
    (fault,) = capsys.readouterr().err.splitlines()
    assert fault.startswith(f"LEADSAGA_{setting}_URL")
    assert "s3cr3t" not in fault


def test_an_unreachable_broker_is_told_by_the_tool_alone() -> None:
    """In a process of its own: what libraries log must not reach its standard error either."""
    asked = ["request", "--tenant", "acme", "--leads", "1", "--criteria", "x"]
    for url, code in ((f"amqp://{NOBODY_LISTENS}/", 69), ("amqp://", 78)):
        ran = subprocess.run(
            [sys.executable, "-m", "orchestrator", *asked],
            env={**os.environ, "LEADSAGA_AMQP_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (code, 1) == (ran.returncode, len(ran.stderr.splitlines())), ran.stderr


def test_wrong_usage_exits_2(capsys: Said) -> None:
    typos = (
        ["nonsense"],
        ["show"],
        ["list", "--status", "parkd"],
        ["list", "--saga", "leads"],
        ["dead-letters", "show", "no-uuid"],
        ["cancel", "r-1", "--reason", "x", "--over-amqp"],
    )
    assert [2] * len(typos) == [main(typo) for typo in typos]
    assert "" == capsys.readouterr().out


def test_a_group_alone_prints_its_commands(capsys: Said) -> None:
    main(["dead-letters"])
    said = capsys.readouterr()
    assert all(name in said.out + said.err for name in ("list", "show", "close"))


def test_what_can_be_chosen_is_what_there_is() -> None:
    assert SAGAS == sorted(get_args(SagaKind))
    assert {*get_args(core.Status)} - {"new"} == set(get_args(Status))


def test_a_verifier_is_the_one_of_the_standard() -> None:
    salt = b"0123456789abcdef"
    verifier = scram_verifier("pencil", salt)
    assert verifier == scram_verifier("pencil", salt)
    assert verifier.startswith("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$")
    assert verifier != scram_verifier("pencils", salt)


def test_only_the_url_of_a_role_itself_sets_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSAGA_ENGINE_URL", "postgresql://leadsaga_engine:a%40b@db/x")
    monkeypatch.setenv("LEADSAGA_STEPS_URL", "postgresql://postgres:word@db/x")
    monkeypatch.setenv("LEADSAGA_OPERATOR_URL", "postgresql://leadsaga_operator@db/x")
    monkeypatch.delenv("LEADSAGA_READER_URL", raising=False)
    assert {"leadsaga_engine": "a@b"} == passwords(RoleUrls())


def test_a_password_that_could_mean_two_things_is_refused(
    capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSAGA_DATABASE_URL", f"postgresql://postgres@{NOBODY_LISTENS}/x")
    monkeypatch.setenv("LEADSAGA_READER_URL", "postgresql://leadsaga_reader:gr%C3%BCn@db/x")
    assert 2 == main(["migrate"])
    assert "leadsaga_reader may only hold printable ASCII" in capsys.readouterr().err


def test_every_step_of_every_saga_becomes_a_program_with_a_port_of_its_own() -> None:
    steps = step_names()
    assert {step.name for saga in REGISTERED for step in saga.steps} <= set(steps)
    made = programs(steps, 9000)
    assert ["orchestrator", *steps] == [program.name for program in made]
    ports = [program.environment["LEADSAGA_HTTP_PORT"] for program in made]
    assert [str(9000 + place) for place in range(len(made))] == ports
    assert [{}] * len(made) == [program.environment for program in programs(steps, 0)]


def test_the_tool_does_without_the_brokers_framework_which_takes_long_to_import() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, orchestrator.__main__; print('faststream' in sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "False\n" == told.stdout
