"""The code, as the search for crash points reads it: what is called, on what, with which texts."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("contracts", "orchestrator", "steps")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Call:
    """`receiver`: the last word of what is called on, `publisher` of `self.publisher.publish(...)`; nothing
    for a plain function. `around`: what stands around it in the code, the nearest first."""

    path: str
    node: ast.Call
    around: tuple[ast.AST, ...]

    @property
    def place(self) -> str:
        return f"{self.path}:{self.node.lineno}"

    @property
    def chain(self) -> list[str]:
        return words(self.node.func)

    @property
    def method(self) -> str:
        return self.chain[-1] if self.chain else ""

    @property
    def receiver(self) -> str:
        return self.chain[-2].lstrip("_") if len(self.chain) > 1 else ""

    @property
    def function(self) -> Function | None:
        return next((each for each in self.around if isinstance(each, Function)), None)

    def argument(self, which: int | str) -> ast.expr | None:
        """By place or by name."""
        if isinstance(which, int):
            return self.node.args[which] if which < len(self.node.args) else None
        return next((each.value for each in self.node.keywords if each.arg == which), None)

    def text(self, which: int | str) -> str | None:
        """Of an argument that is a text, with `{kind}` for what only running tells; else None."""
        argument = self.argument(which)
        match argument:
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=parts):
                return "".join(map(_part, parts))
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Source:
    path: str
    tree: ast.Module
    calls: tuple[Call, ...]

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        tree = ast.parse(text)
        return cls(path, tree, tuple(_calls(path, tree)))


def sources() -> dict[str, Source]:
    """Of everything that runs in production, by path."""
    files = [file for package in PACKAGES for file in sorted((REPOSITORY / package).rglob("*.py"))]
    paths = {str(file.relative_to(REPOSITORY)): file for file in files}
    return {path: Source.of(path, file.read_text(encoding="utf-8")) for path, file in paths.items()}


def words(expression: ast.AST) -> list[str]:
    """`self.sdk.v1.create` as a list; what is called or looked up in between counts as well."""
    match expression:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=name):
            return [*words(value), name]
        case ast.Call(func=function):
            return words(function)
        case ast.Subscript(value=value) | ast.Await(value=value):
            return words(value)
        case _:
            return []


def _part(part: ast.expr) -> str:
    match part:
        case ast.Constant(value=text):
            return str(text)
        case ast.FormattedValue(value=value):
            return f"{{{words(value)[-1].lstrip('_')}}}"
        case _:
            raise TypeError(ast.dump(part))


def _calls(path: str, tree: ast.Module) -> Iterator[Call]:
    """In the order of the code."""
    left: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree, ())]
    while left:
        node, around = left.pop()
        if isinstance(node, ast.Call):
            yield Call(path, node, around)
        left += [(child, (node, *around)) for child in reversed(list(ast.iter_child_nodes(node)))]


def calls_of(code: Mapping[str, Source], receiver: str, *methods: str) -> Iterator[Call]:
    for source in code.values():
        for call in source.calls:
            if call.receiver == receiver and call.method in methods:
                yield call
