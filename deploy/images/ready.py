"""`python -m deploy.images.ready [PATH]`: exit code 0 when the process of this container answers with 200.

It asks 127.0.0.1 at LEADSAGA_HTTP_PORT; PATH is /ready unless given. Only the standard library: this runs
every few seconds in every container.
"""

import http.client
import os
import sys

PATIENCE = 4.0
"""Seconds; the database has two of them to answer the process."""


def status(port: int, path: str) -> int:
    """Of the answer; 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    path = arguments[0] if arguments else "/ready"
    return 0 if status(int(os.environ["LEADSAGA_HTTP_PORT"]), path) == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
