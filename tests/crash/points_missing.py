"""Operations that no crash point can see: what reaches the database, the broker or a vendor past the few
places that have points."""

import ast
from collections.abc import Iterator
from functools import partial

from tests.crash.points import CHOKE, Code
from tests.crash.points_source import Call, Source, words

DATABASE = {
    "contracts/process/postgres.py",  # the choke point itself
    "orchestrator/operate/migrate.py",  # makes the schema: it is run by hand, and again until it is there
    "orchestrator/operate/session.py",  # opens the operators' pool
}
SAVEPOINTS = {
    "contracts/process/postgres.py",
    "orchestrator/operate/migrate.py",
}
"""Where `connection.transaction()` is a part of a transaction that has a name, or of none of ours."""

STATEMENTS = "orchestrator/store/statements.py"
PUBLISHING = "contracts/process/publishing.py"
CONSUMING = "contracts/process/consuming.py"

OURS = {
    "publish": {"publisher", "loop", "consumer", "self", "side"},
    "transaction": {"database", "memory", "attempt"},
}
"""On what our own functions of these names are called."""

ACKS = {"ack", "nack", "reject", "basic_ack", "basic_nack", "basic_reject"}
READS = {"consume", "get", "iterator"}
POOL = {"acquire", "execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_records_to_table"}
CONNECTING = {"connect", "create_pool"}
VENDORS = {"sdk", "http"}
CLOSING = {"close", "aclose", "close_async"}
CLIENTS = "steps/clients/"
HTTP = {"anthropic", "stripe", "httpx", "httpx2", "aiohttp", "requests", "urllib.request"}


def missing(code: Code) -> list[str]:
    """A line for each, with its place."""
    found = []
    for path, source in code.items():
        if path != CHOKE:
            found += [f"{place}: {what}" for place, what in _of(source)]
    return found


def _of(source: Source) -> Iterator[tuple[str, str]]:
    guarded = _guarded(source)
    for call in source.calls:
        kinds = (_transaction, _statement, _database, _publish, _ack, partial(_vendor, guarded=guarded))
        for what in (kind(call) for kind in kinds):
            if what is not None:
                yield call.place, what
    if not source.path.startswith(CLIENTS):
        for node in ast.walk(source.tree):
            for module in _imports(node) & HTTP:
                yield f"{source.path}:{node.lineno}", f"{module} is for the clients of vendors"


def _transaction(call: Call) -> str | None:
    if call.method not in {"transaction", "note"} or not call.receiver:
        return None
    if call.receiver == "connection":
        return None if call.path in SAVEPOINTS else "a transaction past the pool that names them"
    if call.receiver == "attempt":
        return None if _plain(call, 0) else "a checkpoint without a name"
    if call.method == "transaction" and not (call.text("name") or _handed_on(call, "name")):
        return "a transaction without a name"
    return None


def _statement(call: Call) -> str | None:
    if call.chain == ["sql"] and call.path != STATEMENTS:
        return "a named statement past the place where all are run"
    return None


def _database(call: Call) -> str | None:
    if call.path in DATABASE:
        return None
    connecting = call.receiver == "asyncpg" and call.method in CONNECTING
    pooled = call.receiver == "pool" and call.method in POOL
    return "the database, outside of a named transaction" if connecting or pooled else None


def _publish(call: Call) -> str | None:
    if call.method in {"basic_publish", "publisher"}:
        return "a publish past the publisher"
    if call.method == "_confirmed":
        return None if _plain(call, 0) else "a publish without a name"
    if call.method != "publish" or call.path == PUBLISHING:
        return None
    if call.receiver not in OURS["publish"]:
        return "a publish past the publisher"
    if call.receiver == "publisher" and not (_plain(call, "name") or _handed_on(call, "name")):
        return "a publish without a name"
    return None


def _ack(call: Call) -> str | None:
    if call.path == CONSUMING:
        return None
    subscribes = call.method == "subscriber"
    reads = call.receiver == "queue" and call.method in READS
    acknowledges = not isinstance(no_ack := call.argument("no_ack"), ast.Constant) or no_ack.value is not True
    if call.method in ACKS or subscribes or (reads and acknowledges):
        return "an acknowledgement past the place where all are given"
    return None


def _vendor(call: Call, guarded: set[str]) -> str | None:
    """A call on a vendor's SDK is made between two points, or handed to a function that awaits it there."""
    asks = bool(VENDORS & set(call.chain[:-1])) and call.method not in CLOSING
    if not call.path.startswith(CLIENTS) or not asks:
        return None
    if any(_is_between(node) or _is_handed(node, call, guarded) for node in call.around):
        return None
    return "a call to a vendor that is not between two points"


def _is_between(node: ast.AST) -> bool:
    return isinstance(node, ast.AsyncWith) and any(
        words(item.context_expr)[-2:] == ["crash", "around"] for item in node.items
    )


def _is_handed(node: ast.AST, call: Call, guarded: set[str]) -> bool:
    match node:
        case ast.Call():
            return _called(node) in guarded
        case ast.Assign(targets=[ast.Name(id=name)]) if call.function is not None:
            inside = list(ast.walk(call.function))
            handed = [
                each
                for outer in inside
                if isinstance(outer, ast.Call) and _called(outer) in guarded
                for each in outer.args
            ]
            uses = [
                each
                for each in inside
                if isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load)
            ]
            return bool(uses) and all(use in handed for use in uses)
        case _:
            return False


def _guarded(source: Source) -> set[str]:
    """Plain functions that await between two points what they are given, or hand it to one that does."""
    plain = [node for node in source.tree.body if isinstance(node, ast.AsyncFunctionDef)]
    calls = {
        each.name: {_called(node) for node in ast.walk(each) if isinstance(node, ast.Call)} for each in plain
    }
    found = {name for name, called in calls.items() if "around" in called}
    while more := {name for name, called in calls.items() if called & found} - found:
        found |= more
    return found


def _called(node: ast.Call) -> str:
    return (words(node.func) or [""])[-1]


def _plain(call: Call, which: int | str) -> bool:
    text = call.text(which)
    return bool(text) and "{" not in (text or "")


def _handed_on(call: Call, which: str) -> bool:
    """A function of ours that is itself given the name: whoever calls it is looked at instead."""
    argument, function = call.argument(which), call.function
    if not isinstance(argument, ast.Name) or function is None:
        return False
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return function.name in {"transaction", "note", "_confirmed"} and argument.id in {
        each.arg for each in given
    }


def _imports(node: ast.AST) -> set[str]:
    match node:
        case ast.Import(names=names):
            return {each.name for each in names}
        case ast.ImportFrom(module=str(module), level=0):
            return {module, module.partition(".")[0]}
        case _:
            return set()
