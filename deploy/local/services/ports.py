"""Free ports of the loopback address, the same ones for the same data directory whenever possible."""

import json
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the range that Linux takes for outgoing connections (from 32768): none of those can be in the way.
CANDIDATES = range(20_000, 32_000)
WELL_KNOWN = frozenset({4369, 5432, 5671, 5672, 15672, 15692, 25672})


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set it too: connections of an instance that has just ended do not block its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(names: tuple[str, ...]) -> dict[str, int]:
    """A free port for each name."""
    chosen: dict[str, int] = {}
    for port in random.sample(CANDIDATES, len(CANDIDATES)):
        if len(chosen) == len(names):
            break
        if port not in WELL_KNOWN and is_free(port):
            chosen[names[len(chosen)]] = port
    return chosen


def remembered(file: Path, names: tuple[str, ...]) -> dict[str, int]:
    """The ports written in the file if all are free still, else new ones, which are written there."""
    try:
        known = json.loads(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        known = {}
    if set(names) == set(known) and all(is_free(port) for port in known.values()):
        return {name: int(known[name]) for name in names}
    chosen = choose(names)
    file.write_text(json.dumps(chosen), encoding="ascii")
    return chosen
