"""Letters of one cause have one fingerprint, whichever saga, tenant or number they speak of."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store.fingerprint import fingerprint

WORDS = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=12), min_size=1, max_size=6)
NUMBERS = st.one_of(st.integers(0), st.decimals(0, 10**6, places=2)).map(str)
IDS = st.one_of(
    st.uuids().map(str),
    st.from_regex(r"r-[a-z]{0,4}[0-9]{1,6}", fullmatch=True),
    st.from_regex(r"[a-z][a-z-]{0,20}-[0-9a-f]{8}-[0-9]{4}", fullmatch=True),
    st.from_regex(r"(cus|req|in)_[A-Za-z0-9]{14,24}", fullmatch=True),
    st.datetimes().map(lambda at: at.isoformat()),
)
NAMES = st.one_of(
    st.text(string.ascii_letters + " -", max_size=20).map(lambda name: f"'{name}'"),
    st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True),
)
VARYING = st.one_of(NUMBERS, IDS, NAMES)


@given(WORDS, st.lists(st.tuples(VARYING, VARYING), min_size=1, max_size=5), st.randoms())
def test_what_names_or_counts_something_makes_no_difference(words, pairs, chance) -> None:
    places = [*words, *([None] * len(pairs))]
    chance.shuffle(places)

    def filled(side: int) -> str:
        values = iter(pair[side] for pair in pairs)
        return " ".join(next(values) if word is None else word for word in places)

    assert fingerprint("q", "E", filled(0)) == fingerprint("q", "E", filled(1))


@given(WORDS, WORDS)
def test_other_words_are_another_cause(some, others) -> None:
    same = some == others
    assert same == (fingerprint("q", "E", " ".join(some)) == fingerprint("q", "E", " ".join(others)))


@given(st.text())
def test_any_text_has_one(reason: str) -> None:
    assert 16 == len(fingerprint("q", "E", reason))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the customer's card is refused", "the customer's id is refused"),
        ("no answer", "no deadbeef answer"),
        ("report_to_stripe failed", "generate_leads failed"),
    ],
)
def test_apostrophes_and_names_of_steps_are_words(one: str, other: str) -> None:
    assert fingerprint("q", "E", one) != fingerprint("q", "E", other)


@pytest.mark.parametrize(("queue", "error"), [("other", "Spent"), ("record_usage", "Other")])
def test_another_queue_or_class_is_another_cause(queue: str, error: str) -> None:
    assert fingerprint("record_usage", "Spent", "no answer") != fingerprint(queue, error, "no answer")


def test_stripes_refusals_of_two_tenants_are_one_cause() -> None:
    told = "Stripe was not told: UnknownCustomer: No such customer: '{}' (see {})"
    one = told.format("cus_NffrFeUfNV2Hib", "https://dashboard.example/acct_1/req_1")
    other = told.format("cus_9s6XKzkNRiz8i3", "https://dashboard.example/acct_1/req_2")
    assert fingerprint("report_to_stripe", "StripeRejected", one) == fingerprint(
        "report_to_stripe", "StripeRejected", other
    )
