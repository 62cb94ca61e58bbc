"""Working as one of the database's roles."""

from urllib.parse import urlencode, urlsplit, urlunsplit


def as_role(url: str, role: str) -> str:
    """The same database and login, but with the rights of another role from the first moment on.

    Roles belong to the whole cluster: to give them passwords for a test would change them for everybody.
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode({"role": role})))
