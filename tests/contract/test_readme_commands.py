"""Every command that the documents show exists, with the options that they show."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from deploy.readme import REPOSITORY
from orchestrator.operate.cli.build import build

DOCUMENTS = ("README.md", "deploy/README.md", "deploy/RUNBOOK.md", "deploy/BILLING.md")
BLOCKS = re.compile(r"^```sh\n(.*?)^```|((?:^    .*\n)+)", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(leadsaga [^`\n]+)`(?!`)")
CALL = re.compile(r"^(?:dc run --rm |\.venv/bin/)?leadsaga (.*)$")


async def nothing() -> None: ...


TOOL: Any = typer.main.get_command(build(nothing))


def commands(text: str) -> Iterator[str]:
    """What is given to `leadsaga` in shell blocks, in indented ones, and within lines."""
    lines = [line for block in BLOCKS.finditer(text) for line in _lines(block[1] or block[2])]
    for line in [*lines, *INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))]:
        if call := CALL.match(line.strip()):
            yield call[1]


def _lines(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def faults(arguments: str) -> list[str]:
    """What the tool does not know of this."""
    words = shlex.split(arguments, comments=True)
    command = TOOL
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return [f"no command {name}"]
        command = command.commands[name]
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    known = {"--help", "-h"}.union(*([*each.opts, *each.secondary_opts] for each in command.params))
    missing = [f"no option {option}" for option in options if option not in known]
    return missing if options or not hasattr(command, "commands") else ["a group, not a command"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_the_documents_exists(document: str) -> None:
    shown = list(commands((REPOSITORY / document).read_text(encoding="utf-8")))
    assert len(shown) >= 3
    assert {} == {line: wrong for line in shown if (wrong := faults(line))}


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ("show SAGA  # its whole story", []),
        ("--help", []),
        ("dead-letters list --all", []),
        ("dead-letters", ["a group, not a command"]),
        ("sagas cancel SAGA", []),
        ("sagas delete SAGA", ["no command delete"]),
        ("tenants set acme --stripe cus_1 --reason=x", ["no option --stripe"]),
    ],
)
def test_what_does_not_exist_is_noticed(arguments: str, wrong: list[str]) -> None:
    assert wrong == faults(arguments)
