"""The parts of the README that are made: definitions, diagrams, settings, and the tables of speed.

`python -m deploy.readme --write` renews them; a test fails when they are out of date.
"""

import re
import sys
from pathlib import Path

from deploy.settings_table import settings_table
from deploy.speed_table import goals_table, peers_table
from orchestrator.core.describe import mermaid, table
from orchestrator.sagas.lead import LEAD
from orchestrator.sagas.refund import REFUND

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
DEFINITION = re.compile(r"# fmt: off\n(.*?)# fmt: on\n", re.DOTALL)


def parts() -> dict[str, str]:
    return {
        "lead": f"```python\n{_definition('lead')}```",
        "lead table": f"```text\n{table(LEAD)}```",
        "lead diagram": f"```mermaid\n{mermaid(LEAD)}```",
        "refund": f"```python\n{_definition('refund')}```",
        "refund table": f"```text\n{table(REFUND)}```",
        "provisioning": f"```python\n{_definition('provision_tenant')}```",
        "settings": settings_table(),
        "speed beside peers": peers_table(),
        "speed": goals_table(),
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


def main(arguments: list[str]) -> int:
    text = README.read_text(encoding="utf-8")
    if arguments == ["--write"]:
        README.write_text(filled(text), encoding="utf-8")
        return 0
    return 0 if text == filled(text) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
