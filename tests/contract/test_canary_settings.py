"""A canary in every setting: what is wrong with it is told without it, and a secret is told by nothing."""

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contracts.process.settings import BadSettings, Settings, load
from deploy import settings_table

CANARY = "c4n4ry"
SECRET = (
    f"postgresql://{CANARY}:{CANARY}@127.0.0.1/{CANARY}",
    f"amqp://{CANARY}:{CANARY}@127.0.0.1/{CANARY}",
    f"sk_test_{CANARY}",
    "ca" * 32,
)
"""Whatever a secret has to look like, one of them does."""

FIELDS = [
    pytest.param(owner, name, field, id=f"{owner.__name__}.{name}")
    for owner in settings_table._classes().values()
    for name, field in owner.model_fields.items()
]


def is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


@pytest.mark.parametrize(("owner", "name", "field"), FIELDS)
@pytest.mark.parametrize("value", [CANARY, f"{CANARY}://{CANARY}:{CANARY}@{CANARY}", f" {CANARY}\n"])
def test_what_is_wrong_with_a_setting_is_told_without_its_value(
    owner: type[Settings], name: str, field: FieldInfo, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings_table._variable(name, field), value)
    for other, needed in owner.model_fields.items():
        if needed.is_required() and other != name:
            monkeypatch.setenv(settings_table._variable(other, needed), "")
    assert CANARY not in said_of(owner)


def said_of(owner: type[Settings]) -> str:
    """All that could be told of why these settings are no good; nothing if they are."""
    try:
        load(owner)
    except BadSettings as bad:
        return f"{bad} {bad!r} {bad.faults} {bad.args} {bad.__cause__!r} {bad.__context__!r}"
    return ""


SECRETS = [each for each in FIELDS if is_secret(each.values[2])]  # type: ignore[arg-type]


@pytest.mark.parametrize(("owner", "name", "field"), SECRETS)
def test_a_secret_is_not_in_what_is_said_of_its_settings(
    owner: type[Settings], name: str, field: FieldInfo
) -> None:
    accepted = []
    for value in SECRET:
        alone: type[BaseModel] = type(owner.__name__, (BaseModel,), {
            "__annotations__": {name: owner.__annotations__[name]},
        })  # fmt: skip
        try:
            found = alone.model_validate({name: value})
        except ValueError:
            continue
        accepted.append(value)
        assert value not in f"{found} {found!r} {found.model_dump()} {found.model_dump_json()}"
    assert accepted


def test_all_that_is_a_password_a_key_or_holds_one_is_a_secret() -> None:
    telling = (
        "_key",
        "_password",
        "_token",
        "engine_url",
        "steps_url",
        "operator_url",
        "reader_url",
        "amqp_url",
    )
    open_ones = [each.id for each in FIELDS if str(each.values[1]).endswith(telling)]
    assert {each.id for each in SECRETS} >= set(open_ones)
    assert len(open_ones) >= 10
