"""Connecting as one of the database's roles."""

from urllib.parse import urlsplit, urlunsplit

ROLE_PASSWORD = "only-for-tests"
ROLES = ("leadsaga_engine", "leadsaga_steps", "leadsaga_operator", "leadsaga_reader")


def as_role(url: str, role: str) -> str:
    """The same database for another role."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{ROLE_PASSWORD}@{address}"))
