"""The container image is made from what the root lock pins, runs without root and holds what it needs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"


def _pins(file: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by package and marker."""
    pins, name = {}, ""
    hashes: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        if pin := re.match(r"([a-z0-9._-]+(?:\[[a-z,]+\])?)==(\S+)(?: ; (.+?))?(?: \\)?$", line):
            name = pin[1]
            pins[name], hashes[name] = pin[2], set()
        elif found := re.match(r"\s+--hash=(\S+)", line):
            hashes[name].add(found[1])
    return {name: (version, frozenset(hashes[name])) for name, version in pins.items()}


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock"])
def test_the_image_has_only_what_the_root_lock_pins_to_the_same_bytes(lock: str) -> None:
    everything = _pins(ROOT / "requirements.lock")
    image = _pins(IMAGES / lock)
    assert len(image) > 4
    assert image == {name: everything[name] for name in image}, "run: see deploy/README.md, the image"


def test_the_image_has_what_the_project_needs_and_nothing_to_develop_with() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    runtime, dev = re.split(r"\[dependency-groups\]", project, maxsplit=1)
    wanted = re.findall(r'^  "([A-Za-z0-9-]+)[^"]*",$', runtime.split("dependencies = [")[1], re.MULTILINE)
    image = set(_pins(IMAGES / "requirements.lock"))
    assert [] == [name for name in wanted if name.lower() not in image]
    assert not image & {"pytest", "mypy", "ruff", "hypothesis", "testcontainers", "pip-audit"}
    assert "hatchling" in dev


def test_the_image_is_built_from_hashes_runs_without_root_and_knows_no_registry() -> None:
    text = (IMAGES / "Dockerfile").read_text()
    final = text.rpartition("\nFROM ")[2]
    installs = re.findall(r"^.*pip.* install(?:.|\\\n)*?$", text.replace("\\\n", " "), re.MULTILINE)
    assert len(installs) >= 2
    for line in ("-r build.lock", "-r requirements.lock"):
        assert any("--require-hashes" in install and line in install for install in installs)
    assert "\nUSER 10001:10001\n" in final
    assert "\nSTOPSIGNAL SIGTERM\n" in final
    assert 'ENTRYPOINT ["python", "-m"]' in final
    assert '["python", "-m", "deploy.images.ready"]' in final
    assert [] == re.findall(r"index-url|find-links|https?://", text)


def test_nothing_reaches_the_image_build_but_what_is_named() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert "*" == rules[0]
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert not {"deploy/local", "tests", ".leadsaga", ".git"} & allowed
    assert "deploy/*" in rules
