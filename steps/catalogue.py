"""Which steps there are: every module of this package that defines STEP. Its name is the step's name."""

import importlib
import pkgutil

import steps
from steps.runtime.step import Step

_NOT_STEPS = {"catalogue", "__main__"}


class NoSuchStep(LookupError):
    """There is no step of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no step {name!r}; there are: {', '.join(names())}")


def names() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.iter_modules(steps.__path__)
        if not module.ispkg and module.name not in _NOT_STEPS
    )


def find(name: str) -> Step:
    """Imports only this step: vendor SDKs are slow to import, and not every process needs them."""
    if name not in names():
        raise NoSuchStep(name)
    step = importlib.import_module(f"steps.{name}").STEP
    assert isinstance(step, Step)
    assert step.name == name, f"steps/{name}.py defines the step {step.name}"
    return step
