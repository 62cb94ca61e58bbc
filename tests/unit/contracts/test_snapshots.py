"""The wire does not change unnoticed."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from contracts import snapshots
from contracts.snapshots import FOLDER, WRITE, breaking, differences, main, schemas, stored, text, write


def test_every_schema_is_what_its_file_says() -> None:
    assert [] == differences(), f"the wire has changed; if that is meant: {WRITE}"


def test_the_files_are_written_as_the_tool_writes_them() -> None:
    for name, schema in schemas().items():
        assert text(schema) == (FOLDER / f"{name}.json").read_text(), f"renew it: {WRITE}"


def test_commands_replies_and_each_request_and_event_have_a_schema() -> None:
    expected = {
        "command",
        "reply",
        *(f"request.{name}" for name in ("lead_requested", "cancel_requested", "refund_requested")),
        "request.tenant_requested",
        *(f"event.{name}" for name in ("accepted", "refused", "leads_ready", "completed", "failed")),
        *(f"event.{name}" for name in ("refunded", "parked", "provisioned")),
    }
    assert expected == set(stored())


OLD = schemas()["reply"]


def changed(path: str, value: Any) -> dict[str, Any]:
    schema = deepcopy(OLD)
    *way, last = path.split("/")
    place: Any = schema
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return schema


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties/colour", {"type": "string", "default": "blue"}),
        ("$defs/Done/properties/colour", {"type": "string", "default": "blue"}),
        ("$defs/Maybe", {"type": "object", "properties": {}}),
        ("description", "another text"),
        ("properties/attempt/title", "Another title"),
    ],
)
def test_new_optional_fields_and_texts_break_nobody(path: str, value: Any) -> None:
    assert [] == breaking(OLD, changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("properties/attempt", None, "attempt is gone"),
        ("properties/attempt/type", "string", "attempt has another form"),
        ("properties/attempt/minimum", 2, "attempt has another form"),
        ("required", [*OLD["required"], "colour"], "colour is now required"),
        ("$defs/Done", None, "Done is gone"),
        ("$defs/Done/properties/kind/const", "finished", "Done.kind has another form"),
    ],
)
def test_what_an_older_side_cannot_live_with_is_breaking(path: str, value: Any, complaint: str) -> None:
    assert complaint in breaking(OLD, changed(path, value))


def test_a_definition_without_fields_may_not_change_its_form() -> None:
    colours = {"$defs": {"Colour": {"enum": ["red"]}}}
    more = {"$defs": {"Colour": {"enum": ["red", "blue"]}}}
    assert ["Colour. has another form"] == breaking(colours, more)


def test_the_tool_reports_what_differs_and_writes_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(snapshots, "FOLDER", tmp_path)
    write()
    (tmp_path / "command.json").unlink()
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "reply.json").write_text(text(changed("properties/colour", {"type": "string"})))
    (tmp_path / "event.failed.json").write_text(text(OLD))
    monkeypatch.setattr("sys.argv", ["snapshots"])
    assert 1 == main()
    command, failed, old, reply = capsys.readouterr().out.splitlines()
    assert "command: is new" == command
    assert failed.startswith("event.failed: ")
    assert failed.endswith("(breaking)")
    assert "old: is gone (breaking)" == old
    assert "reply: colour is gone (breaking)" == reply
    monkeypatch.setattr("sys.argv", ["snapshots", "--write"])
    assert 0 == main()
    assert [] == differences()
    monkeypatch.setattr("sys.argv", ["snapshots"])
    assert 0 == main()
