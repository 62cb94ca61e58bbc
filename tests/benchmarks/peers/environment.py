"""Where the peers are installed: an environment of their own, so that ours stays what its lock says."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE, STDOUT

from tests.benchmarks.peers.roster import Peer
from tests.kit.system import REPOSITORY

VARIABLE = "LEADSAGA_PEERS_PYTHON"
INSTALL_SECONDS = 300.0

VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


class PeerMissing(RuntimeError):
    """A peer cannot run on this machine; says in one line why, and what to do."""


def python() -> str:
    return os.environ.get(VARIABLE) or str(REPOSITORY / ".venv-peers/bin/python")


async def versions(peer: Peer) -> dict[str, str]:
    """Of what the peer is made of; all of it is there. Raises PeerMissing."""
    if shutil.which(python()) is None:
        raise PeerMissing(
            f"no interpreter has its packages: `make bench-peers` installs them, or set {VARIABLE}"
        )
    found = await _said(python(), "-I", "-c", VERSIONS, *peer.packages)
    if peer.npm:
        if shutil.which("npx") is None:
            raise PeerMissing(
                f"its server {peer.npm} comes from npm, and there is no npx: install Node.js with npm"
            )
        await _said("npx", "--yes", peer.npm, "--version")
    return dict(json.loads(found)) | (
        {peer.npm.rpartition("@")[0]: peer.npm.rpartition("@")[2]} if peer.npm else {}
    )


async def _said(*command: str) -> str:
    """The last line of its output, which is what went wrong if the command failed."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise PeerMissing(f"`{command[0]}` did not answer within {INSTALL_SECONDS:.0f} s") from None
    last = next((line for line in reversed(output.decode(errors="replace").splitlines()) if line.strip()), "")
    if process.returncode != 0:
        raise PeerMissing(last)
    return last
