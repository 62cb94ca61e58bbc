"""JSON Schemas of everything that travels, kept as files so that no change of the wire goes unnoticed.

`python -m contracts.snapshots --write` renews the files in `contracts/schemas`; without `--write` it only
reports what differs.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.model import Model
from contracts.requests import Request

FOLDER = Path(__file__).parent / "schemas"
WRITE = "python -m contracts.snapshots --write"

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """By file name without its ending: `command`, `reply`, `request.<type>`, `event.<event>`."""
    named: dict[str, type[Model]] = {"command": Command, "reply": Reply}
    named |= {f"request.{_tag(model, 'type')}": model for model in _members(Request)}
    named |= {f"event.{_tag(model, 'event')}": model for model in _members(Event)}
    return {name: model.model_json_schema() for name, model in sorted(named.items())}


def stored() -> dict[str, Schema]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def text(schema: Schema) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def breaking(old: Schema, new: Schema) -> list[str]:
    """What in `new` an older sender or reader cannot live with. Only new optional fields are harmless: they
    are ignored by who does not know them. An empty list promises no more than that."""
    return list(_broken("", old, new))


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(text(schema))


def differences() -> list[str]:
    """One line for each schema that is not what its file says."""
    old, new = stored(), schemas()
    lines = [f"{name}: is new" for name in new if name not in old]
    lines += [f"{name}: is gone (breaking)" for name in old if name not in new]
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            faults = breaking(old[name], new[name])
            what = "; ".join(faults) + " (breaking)" if faults else "new optional fields or texts"
            lines.append(f"{name}: {what}")
    return sorted(lines)


def _members(union: Any) -> tuple[type[Model], ...]:
    """The classes of an annotated union."""
    members: tuple[type[Model], ...] = get_args(get_args(union)[0])
    return members


def _tag(model: type[Model], field: str) -> str:
    return str(model.model_fields[field].default)


def _broken(place: str, old: Schema, new: Schema) -> Iterator[str]:
    for name, definition in old.get("$defs", {}).items():
        if name not in new.get("$defs", {}):
            yield f"{place}{name} is gone"
        else:
            yield from _broken(f"{place}{name}.", definition, new["$defs"][name])
    properties, changed = old.get("properties", {}), new.get("properties", {})
    for name, schema in properties.items():
        if name not in changed:
            yield f"{place}{name} is gone"
        elif _rule(schema) != _rule(changed[name]):
            yield f"{place}{name} has another form"
    for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
        yield f"{place}{name} is now required"
    if not properties and _rule(old) != _rule(new):
        yield f"{place or 'it'} has another form"


def _rule(schema: Schema) -> Schema:
    """Without what only readers of the document see."""
    return {key: value for key, value in schema.items() if key not in {"title", "description", "$defs"}}


def main() -> int:
    found = differences()
    sys.stdout.writelines(f"{line}\n" for line in found)
    if "--write" in sys.argv[1:]:
        write()
        return 0
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
