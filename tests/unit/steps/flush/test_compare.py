"""Which of Stripe's totals lag alone can explain."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from steps.billing.books import Books, Page, Send
from steps.billing.compare import Reading, expected, narrowed, possible, verdict

START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
NOW = START + timedelta(days=20)
CUT = NOW - timedelta(minutes=30)


def send(value: int, at: datetime = START, *, confirmed: bool = True, final: bool = True) -> Send:
    return Send(
        intent_id=uuid4(), customer="cus_1", event_name="leads", period_start=START, event_at=at, value=value,
        confirmed=confirmed, final=final, void=False,
    )  # fmt: skip


def books_of(*sends: Send) -> tuple[Books, Page]:
    page = Page(
        event_name="leads", period_start=START, period_end=END, stripe_customer="cus_1", ledger=0, told=0,
        under_way=0, refused=0, by_hand=0, credited=0, sends=list(sends),
    )  # fmt: skip
    return Books(now=NOW, horizon=NOW, cut=CUT, pages=[page]), page


values = st.integers(-50, 50).filter(bool)
some = st.lists(st.tuples(values, st.booleans(), st.booleans()), max_size=8)


@given(some)
def test_whatever_lags_of_what_is_recent_is_possible(drawn: list[tuple[int, bool, bool]]) -> None:
    sends = [send(value, final=final) for value, final, _ in drawn]
    shown = sum(value for value, final, counted in drawn if final or counted)
    assert possible(shown, sends)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 50))
def test_less_than_what_is_final_or_more_than_was_ever_sent_is_not_possible(
    drawn: list[int], off: int
) -> None:
    sends = [send(value) for value in drawn]
    assert not possible(sum(drawn) - off, sends)
    assert not possible(sum(drawn) + off, sends)


def test_a_send_under_way_is_not_expected_and_may_be_there() -> None:
    sends = [send(5), send(3, confirmed=False, final=False)]
    assert (5, True, True) == (expected(sends), possible(5, sends), possible(8, sends))


def test_what_is_final_must_be_in_the_total_of_what_is_old_however_much_is_new() -> None:
    books, page = books_of(send(4), send(9, NOW - timedelta(minutes=5), final=False))
    assert "behind" == verdict(books, page, Reading(customer="cus_1", whole=4, old=4))
    assert "differs" == verdict(books, page, Reading(customer="cus_1", whole=9, old=0))


@given(st.lists(st.integers(0, 20 * 24 * 60 - 60), min_size=1, max_size=20, unique=True), st.data())
async def test_the_minute_of_a_loss_is_found(minutes: list[int], data: st.DataObject) -> None:
    sends = [send(1 + place, START + timedelta(minutes=at)) for place, at in enumerate(minutes)]
    lost = data.draw(st.sampled_from(sends))
    books, page = books_of(*sends)

    async def total(start: datetime, end: datetime) -> int:
        return sum(each.value for each in sends if each is not lost and start <= each.event_at < end)

    start, end = await narrowed(books, page, "cus_1", total)
    assert start <= lost.event_at < end <= start + timedelta(minutes=1)
