"""`python -m deploy.images.new_env FILE`: compose.env.example with its secrets filled.

Only its owner may read the file. Needs nothing but Python. Exit code 1 when the file is there already: its
secrets are in use.
"""

import os
import re
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "compose.env.example"

EMPTY = re.compile(r"^([A-Z]+_PASSWORD|LEADSAGA_SECRETS_KEY)=$", re.MULTILINE)

BYTES = {"LEADSAGA_SECRETS_KEY": 32}
"""Of a secret whose length is not ours to choose."""


def filled(example: str) -> str:
    return EMPTY.sub(lambda found: f"{found[1]}={secrets.token_hex(BYTES.get(found[1], 24))}", example)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m deploy.images.new_env FILE\n")
        return 64
    file = Path(arguments[0])
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{file} is there already; its secrets are in use\n")
        return 1
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(filled(EXAMPLE.read_text(encoding="ascii")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
