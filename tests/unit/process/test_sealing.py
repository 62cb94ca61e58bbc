"""A secret opens with its key, for its owner, and is not to be seen anywhere on the way."""

import base64

import pytest

from contracts.process.sealing import CannotOpen, Keys, Sealed, key_id, keys, refuse_unknown, webhook_of
from contracts.process.settings import BadSettings

ONE, TWO = bytes(range(32)), bytes(32)
SECRET = "https://discord.com/api/webhooks/1/c4n4ry"
ACME, BLUE = webhook_of("acme"), webhook_of("blue")


def test_what_was_sealed_opens_with_the_same_key_for_the_same_owner() -> None:
    for secret in (SECRET, "", "\u00fc" * 500):
        assert secret == Keys((ONE,)).open(Keys((ONE,)).seal(secret, ACME), ACME)


def test_it_opens_with_a_second_key_and_is_sealed_with_the_first() -> None:
    old = Keys((ONE,)).seal(SECRET, ACME)
    during = Keys((TWO, ONE))
    assert SECRET == during.open(old, ACME)
    assert key_id(TWO) == during.seal(SECRET, ACME).key_id


def test_for_another_owner_with_another_key_or_changed_it_does_not_open() -> None:
    it = Keys((ONE,)).seal(SECRET, ACME)
    changed = [
        Sealed(it.key_id, it.sealed[:place] + bytes([it.sealed[place] ^ 1]) + it.sealed[place + 1 :])
        for place in range(len(it.sealed))
    ]
    cut = [Sealed(it.key_id, it.sealed[:length]) for length in range(len(it.sealed))]
    for broken in (*changed, *cut, Sealed(key_id(TWO), it.sealed)):
        with pytest.raises(CannotOpen):
            Keys((ONE, TWO)).open(broken, ACME)
    with pytest.raises(CannotOpen):
        Keys((ONE,)).open(it, BLUE)
    with pytest.raises(CannotOpen):
        Keys((TWO,)).open(it, ACME)


def test_the_same_secret_never_looks_the_same() -> None:
    assert 100 == len({Keys((ONE,)).seal(SECRET, ACME).sealed for _ in range(100)})


def test_neither_a_key_nor_a_secret_is_told() -> None:
    it = Keys((ONE,)).seal(SECRET, ACME)
    said = f"{it!r} {Keys((ONE,))!r} {CannotOpen()!r} {CannotOpen()}"
    hidden = (SECRET, "c4n4ry", ONE.hex(), repr(ONE)[2:-1], base64.b64encode(ONE).decode(), repr(it.sealed))
    assert [] == [each for each in hidden if each in said]
    assert b"c4n4ry" not in it.sealed
    assert it.key_id not in ONE.hex()


@pytest.mark.parametrize("value", ["", "c4n4ry", "c4n4ry" + "0" * 58, "0" * 63, "0" * 65, "\u0661" * 64])
def test_a_key_that_cannot_be_one_is_refused_in_one_line_that_does_not_quote_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSAGA_SECRETS_KEY", value)
    with pytest.raises(BadSettings) as refused:
        keys()
    assert 1 == len(refused.value.faults)
    assert refused.value.faults[0].startswith("LEADSAGA_SECRETS_KEY")
    assert "c4n4ry" not in str(refused.value)


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADSAGA_SECRETS_KEY", raising=False)
    with pytest.raises(BadSettings, match="LEADSAGA_SECRETS_KEY is not set"):
        keys()


def test_an_empty_second_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSAGA_SECRETS_KEY", ONE.hex())
    monkeypatch.setenv("LEADSAGA_SECRETS_SECOND_KEY", "")
    assert (key_id(ONE),) == keys().ids
    monkeypatch.setenv("LEADSAGA_SECRETS_SECOND_KEY", TWO.hex().upper())
    assert (key_id(ONE), key_id(TWO)) == keys().ids


def test_a_key_that_the_database_needs_and_nobody_has_is_named_by_its_id() -> None:
    refuse_unknown([key_id(ONE), key_id(TWO)], Keys((TWO, ONE)))
    refuse_unknown([], Keys((TWO,)))
    with pytest.raises(BadSettings) as refused:
        refuse_unknown([key_id(ONE)], Keys((TWO,)))
    assert (1, True) == (len(refused.value.faults), key_id(ONE) in refused.value.faults[0])
