"""What tenants wrote cannot steer a terminal, and JSON is pure ASCII."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from rich.console import Console

from orchestrator.operate.plain import dumps
from orchestrator.operate.redact import redacted
from orchestrator.operate.render.text import WIDE, clean, ids
from orchestrator.operate.session import place
from orchestrator.operate.usage import Usage


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain", "plain"),
        ("Zoë 株式会社 🚲", "Zoë 株式会社 🚲"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\r\nb\tc\u2028d", "a  b c d"),
        ("\x9b2Jc1\x85", "2Jc1"),
        ("bell\x07 null\x00 delete\x7f", "bell null delete"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("\ud800", ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_text_is_shown_on_one_line_without_control_characters(written: object, shown: str) -> None:
    assert shown == clean(written)


@pytest.mark.parametrize(
    ("written", "narrow"),
    [
        ("0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "0193a1b2…2e3f4a5b"),
        (
            "sent 5, identifier acme-0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b (5)",
            "sent 5, identifier acme-019…2e3f4a5b (5)",
        ),
        ("req_011CSHoEeqs5C35K2U", "req_011CSHoEeqs5C35K2U"),
        ("Donaudampfschifffahrtsgesellschaft", "Donaudampfschifffahrtsgesellschaft"),
        (None, ""),
    ],
)
def test_on_a_narrow_console_only_long_ids_lose_their_middle(written: str | None, narrow: str) -> None:
    assert narrow == printed(WIDE - 1, ids(written))
    assert (written or "") == printed(WIDE, ids(written))


def test_ids_stand_on_lines_of_their_own_and_cannot_steer_a_terminal() -> None:
    assert "one evil\n[b]two[/b]" == printed(WIDE - 1, ids("one\n\x1b\u202eevil", "[b]two[/b]"))


def printed(width: int, cell: object) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(cell)
    return captured.get().strip()


def test_results_become_ascii_json_with_their_computed_values() -> None:
    usage = Usage(
        tenant_id="acme",
        period_start=datetime(2026, 11, 1, tzinfo=UTC),
        event_name="leads\x9b",
        delivered=5,
        refunded=2,
        told=3,
        under_way=0,
        stuck=0,
    )
    text = dumps([usage, Decimal("0.40"), UUID(int=1)])
    assert text.isascii()
    told, price, name = json.loads(text)
    assert (3, "yes", "2026-11-01T00:00:00+00:00") == (
        told["net"], told["billed_is_delivered"], told["period_start"],
    )  # fmt: skip
    assert ("0.40", str(UUID(int=1))) == (price, name)


def test_what_has_no_json_form_is_not_guessed() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        dumps(object())


@pytest.mark.parametrize(
    ("told", "under_way", "stuck", "answer"),
    [(3, 0, 0, "yes"), (0, 3, 0, "under way"), (0, 0, 3, "no"), (5, 0, 0, "no"), (4, -1, 0, "under way")],
)
def test_billed_is_delivered_only_when_stripe_was_told_exactly_the_net(
    told: int, under_way: int, stuck: int, answer: str
) -> None:
    usage = Usage(
        tenant_id="acme",
        period_start=datetime(2026, 11, 1, tzinfo=UTC),
        event_name="leads",
        delivered=5,
        refunded=2,
        told=told,
        under_way=under_way,
        stuck=stuck,
    )
    assert answer == usage.billed_is_delivered


def test_a_redacted_message_keeps_keys_and_names_and_shortens_texts() -> None:
    message = {
        "v": 1,
        "items": [{"tenant_id": "acme-industries", "reason": "x" * 30, "n": None, "m": ["y" * 13]}],
    }
    shortened = {"tenant_id": "acme-industries", "reason": "x" * 12 + "... (30 characters)", "n": None}
    expected = {"v": 1, "items": [{**shortened, "m": ["y" * 12 + "... (13 characters)"]}]}
    assert expected == redacted(json.dumps(message).encode())
    assert None is redacted(b"\xff\x00")
    assert None is redacted(b"[" * 100_000)


def test_of_a_url_only_the_place_is_shown() -> None:
    assert "db.example:5432/leads" == place("postgresql://someone:s3cr3t@db.example:5432/leads")
    assert "an unreadable URL" == place("postgresql://[s3cr3t")
