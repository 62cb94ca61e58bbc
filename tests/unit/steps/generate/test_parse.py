"""Whatever the model writes, only valid leads of different companies come out of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.leads.parse import Answer, parse

LEAD: dict[str, Any] = {
    "company": "Bäckerei Sonne GmbH",
    "website": "https://www.baeckerei-sonne.example/kontakt",
    "contact_name": "Ada Müller",
    "contact_title": "Inhaberin",
    "email": "ada@baeckerei-sonne.example",
    "country": "DE",
    "reason": "Three shops in the region.",
    "score": 80,
}


def lead(**changes: Any) -> dict[str, Any]:
    return LEAD | changes


def numbered(count: int) -> list[dict[str, Any]]:
    return [lead(company=f"C{n}", website=f"c{n}.example", email=f"info@c{n}.example") for n in range(count)]


def parsed(*leads: Any, wanted: int = 25) -> Answer:
    return parse(json.dumps({"leads": leads}), wanted)


def test_a_good_lead_survives_with_its_known_fields_only() -> None:
    [found] = parsed(lead(password="x", lead_id="y")).leads
    assert LEAD == found.model_dump()


@pytest.mark.parametrize("field", list(LEAD))
def test_a_lead_that_lacks_a_field_is_dropped_and_counted(field: str) -> None:
    answer = parsed({name: value for name, value in LEAD.items() if name != field})
    assert (0, 1) == (len(answer.leads), answer.invalid)


@pytest.mark.parametrize(
    "changes",
    [
        {"company": ""},
        {"company": "   "},
        {"company": 5},
        {"company": "x" * 201},
        {"company": "evil\x00"},
        {"company": "a\u202eb"},
        {"contact_name": "x" * 201},
        {"reason": "x" * 1001},
        {"reason": "\x1b[2J"},
        {"score": -1},
        {"score": 101},
        {"score": 80.5},
        {"score": "80"},
        {"score": True},
        {"score": None},
        {"email": "nobody"},
        {"email": "a@b"},
        {"email": "a b@c.example"},
        {"email": "a@@c.example"},
        {"email": ".a@c.example"},
        {"email": "a@-c.example"},
        {"email": "a@c.example\nBcc: x@y.example"},
        {"email": "x" * 250 + "@c.example"},
        {"website": "javascript:alert(1)"},
        {"website": "https://user@c.example"},
        {"website": "https://localhost"},
        {"website": "https://[::1]/"},
        {"website": "ftp://c.example"},
        {"website": "no website"},
    ],
)
def test_an_invalid_lead_is_dropped_and_counted(changes: dict[str, Any]) -> None:
    answer = parsed(lead(**changes), *numbered(1))
    assert (1, 1) == (len(answer.leads), answer.invalid)


@pytest.mark.parametrize(
    "website", ["", "c.example", "http://c.example:8080/x?y#z", "https://straße.example"]
)
def test_websites_may_be_missing_bare_or_international(website: str) -> None:
    assert 1 == len(parsed(lead(website=website)).leads)


def test_texts_become_one_line() -> None:
    [found] = parsed(lead(reason=" two\n lines\t ")).leads
    assert "two lines" == found.reason


@pytest.mark.parametrize(
    ("website", "key"),
    [
        ("https://www.Baeckerei-Sonne.example/a", "baeckerei-sonne.example"),
        ("BAECKEREI-SONNE.example", "baeckerei-sonne.example"),
        ("", "bäckerei sonne gmbh ada@baeckerei-sonne.example"),
        ("https://www.linkedin.com/company/sonne", "bäckerei sonne gmbh ada@baeckerei-sonne.example"),
    ],
)
def test_a_company_is_known_by_its_own_domain_or_else_by_name_and_email(website: str, key: str) -> None:
    [found] = parsed(lead(website=website)).leads
    assert key == found.dedupe_key


def test_a_company_named_twice_counts_once() -> None:
    answer = parsed(lead(), lead(website="baeckerei-sonne.example", contact_name="Bo"), *numbered(1))
    assert (2, 1, 0) == (len(answer.leads), answer.duplicates, answer.invalid)


def test_no_more_leads_are_kept_than_were_asked_for() -> None:
    assert ["C0", "C1"] == [found.company for found in parsed(*numbered(5), wanted=2).leads]


def test_a_cut_answer_keeps_its_whole_leads() -> None:
    text = json.dumps({"leads": numbered(4)})
    assert 3 == len(parse(text[: text.rindex('"score"')], 25).leads)


@given(st.integers(0, 900))
def test_an_answer_may_be_cut_anywhere(length: int) -> None:
    text = json.dumps({"leads": numbered(4)})
    answer = parse(text[:length], 25)
    assert len(answer.leads) <= 4
    assert 0 == answer.invalid


@pytest.mark.parametrize(
    "text", ["", "Sorry, no.", "[]", "null", '{"leads": 5}', '{"lead', "[" * 100_000, "9" * 9_999]
)
def test_an_answer_without_a_list_of_leads_is_not_readable(text: str) -> None:
    assert Answer(readable=False) == parse(text, 25)


def test_an_honest_empty_list_is_readable() -> None:
    assert Answer(leads=[]) == parse('{"leads": []}', 25)


@pytest.mark.parametrize("item", [None, 5, "x", [], {}, {"company": {"a": [1] * 100}}])
def test_items_that_are_no_leads_are_invalid(item: Any) -> None:
    assert 1 == parsed(item).invalid


@given(st.text(max_size=200))
def test_no_text_makes_reading_fail(text: str) -> None:
    assert len(parse('{"leads": [' + text, 3).leads) <= 3
