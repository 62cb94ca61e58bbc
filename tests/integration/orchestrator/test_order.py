"""Requests of one group are decided in the order in which they came."""

from contracts.requests import CancelRequested, RefundRequested
from tests.kit.engine import Engine, commands, lead, said

CANCEL = CancelRequested(tenant_id="acme", request_id="r-1", reason="a typing error")
REFUND = RefundRequested(tenant_id="acme", refund_id="f-1", request_id="r-1", reason="not needed")


async def test_a_cancel_right_behind_its_request_cancels_it(engine: Engine) -> None:
    report = await engine.ask(lead(1), CANCEL)
    assert [("acme", "accepted"), ("acme", "failed")] == said(report)
    assert [] == commands(report.outbox)


async def test_a_refund_right_behind_its_request_cancels_it_and_says_so(engine: Engine) -> None:
    report = await engine.ask(lead(1), REFUND)
    assert [("acme", "accepted"), ("acme", "failed"), ("acme", "refused")] == sorted(said(report))
    assert [] == commands(report.outbox)


async def test_a_refund_asked_while_the_usage_is_being_recorded_is_told_to_come_back(engine: Engine) -> None:
    reserve = await engine.begin(lead(1))
    generate = commands((await engine.answer(reserve)).outbox)[0]
    record = commands((await engine.answer(generate)).outbox)[0]
    report = await engine.ask(REFUND)
    assert [("acme", "refused")] == said(report)
    assert "running" == await engine.status(record)
