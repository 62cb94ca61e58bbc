"""The parts of the README that are made from the code: definitions, diagrams, the settings table.

`python -m deploy.readme --write` renews them; a test fails when they are out of date.
"""

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

import contracts
import orchestrator
import steps
from contracts.process.settings import PREFIX, Settings
from orchestrator.core.describe import mermaid, table
from orchestrator.sagas.lead import LEAD
from orchestrator.sagas.refund import REFUND

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
DEFINITION = re.compile(r"# fmt: off\n(.*?)# fmt: on\n", re.DOTALL)

INTERNAL = {"RoleUrls"}
"""Read the same variables as other classes."""


def parts() -> dict[str, str]:
    return {
        "lead": f"```python\n{_definition('lead')}```",
        "lead table": f"```text\n{table(LEAD)}```",
        "lead diagram": f"```mermaid\n{mermaid(LEAD)}```",
        "refund": f"```python\n{_definition('refund')}```",
        "refund table": f"```text\n{table(REFUND)}```",
        "settings": "\n".join(_settings()),
    }


def filled(text: str) -> str:
    """The text with every generated part renewed. Raises KeyError for a part that nobody makes."""
    made = parts()

    def renew(match: re.Match[str]) -> str:
        return f"<!-- begin {match[1]} -->\n{made[match[1]]}\n<!-- end {match[1]} -->"

    return re.sub(r"<!-- begin ([a-z ]+) -->\n.*?<!-- end \1 -->", renew, text, flags=re.DOTALL)


def _definition(name: str) -> str:
    source = (REPOSITORY / "orchestrator" / "sagas" / f"{name}.py").read_text(encoding="utf-8")
    found = DEFINITION.search(source)
    assert found is not None
    return found[1]


def _settings() -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    rows = {
        _variable(name, field): f"| {_default(field)} | {_meaning(field)} |"
        for each in _classes()
        for name, field in each.model_fields.items()
    }
    for variable, row in rows.items():
        yield f"| `{variable}` {row}"


def _classes() -> list[type[Settings]]:
    for package in (contracts, orchestrator, steps):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = [each for each in Settings.__subclasses__() if each.__name__ not in INTERNAL]
    return sorted(found, key=lambda each: (each.__module__, each.__name__))


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + name.upper()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default in {None, ""} else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    assert field.description, f"a setting needs a docstring: {field!r}"
    return " ".join(field.description.split())


def main(arguments: list[str]) -> int:
    text = README.read_text(encoding="utf-8")
    if arguments == ["--write"]:
        README.write_text(filled(text), encoding="utf-8")
        return 0
    return 0 if text == filled(text) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
