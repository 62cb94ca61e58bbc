"""`python -m deploy.broker --passwords FILE [--upstream USER ...] [--import-to URL]`: its definitions.

Without --import-to they are printed, for `rabbitmqctl import_definitions`. FILE holds the passwords by
user, as JSON; those that it lacks are made up and added, and only its owner may read it. `--passwords -`
takes them from the environment instead, LEADSAGA_PASSWORD_<USER> in capitals. URL is that of the management
plugin, with name and password of the administrator; the variable LEADSAGA_BROKER_ADMIN_URL keeps it out of
sight.
"""

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2

from contracts.names import Names
from deploy.broker.definitions import definitions, users
from deploy.broker.users import BadUser, names_of
from deploy.local.place import write_private

ADMIN_URL = "LEADSAGA_BROKER_ADMIN_URL"
IMPORT_SECONDS = 60.0


def main(arguments: Sequence[str]) -> int:
    given = _parser().parse_args(arguments)
    names = Names(given.prefix)
    try:
        wanted = names_of(users(names, given.upstream))
    except BadUser as error:
        sys.stderr.write(f"{error}\n")
        return 64
    passwords, missing = _passwords(given.passwords, wanted)
    if missing:
        sys.stderr.write(f"no password is set for: {', '.join(missing)}\n")
        return 78
    found = definitions(passwords, given.upstream, names)
    if not given.import_to:
        print(json.dumps(found, indent=2))  # noqa: T201 - its result
        return 0
    return _import(given.import_to, found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.broker", description=__doc__)
    parser.add_argument("--passwords", required=True, metavar="FILE")
    parser.add_argument("--upstream", nargs="*", default=[], metavar="USER")
    parser.add_argument("--prefix", default="", help="as LEADSAGA_QUEUE_PREFIX")
    parser.add_argument("--import-to", default=os.environ.get(ADMIN_URL, ""), metavar="URL")
    return parser


def _passwords(where: str, wanted: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """By user, and who has none."""
    if where == "-":
        found = {name: os.environ.get(variable(name), "") for name in wanted}
        return found, [variable(name) for name, password in found.items() if not password]
    file = Path(where)
    known: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    made = {name: secrets.token_hex(24) for name in wanted if name not in known}
    if made:
        write_private(file, json.dumps(known | made, indent=2))
    return known | made, []


def variable(user: str) -> str:
    return "LEADSAGA_PASSWORD_" + re.sub(r"\W", "_", user.removeprefix("leadsaga_")).upper()


def _import(url: str, found: object) -> int:
    """Over the management API. Its answer may repeat what was sent: only its status is told."""
    parts = urlsplit(url)
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path="/api/definitions"))
    login = unquote(parts.username or ""), unquote(parts.password or "")
    try:
        answer = httpx2.post(address, json=found, auth=login, timeout=IMPORT_SECONDS)
    except httpx2.HTTPError as error:
        sys.stderr.write(f"the management API cannot be reached: {type(error).__name__}\n")
        return 69
    if answer.is_error:
        sys.stderr.write(f"the management API refused the definitions: status {answer.status_code}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
