"""What the demo calls a success: nobody's failure is hidden behind a rejected usage."""

from dataclasses import replace

import pytest

from deploy.local.demo.report import Account, billed_right, verdict
from deploy.local.demo.scenario import ORPHAN, TENANTS

RIGHT = Account(used=9, given_back=2, net=7, stripe=7, delivered=7, rejected=0)
PARKED = Account(used=5, given_back=0, net=5, stripe=0, delivered=5, rejected=1)
EXPECTED = {**{tenant.tenant_id: RIGHT for tenant in TENANTS}, ORPHAN.tenant_id: PARKED}
ACME = TENANTS[0].tenant_id


def test_all_tenants_right_and_the_unknown_one_parked_is_a_success() -> None:
    assert 0 == verdict(0, EXPECTED)
    assert len(TENANTS) == billed_right(EXPECTED)


def test_a_lost_request_is_a_failure() -> None:
    assert 1 == verdict(1, EXPECTED)


@pytest.mark.parametrize(
    "wrong",
    [replace(RIGHT, stripe=8), replace(RIGHT, delivered=6), replace(RIGHT, rejected=1), PARKED],
    ids=["charged more", "delivered less", "a rejection beside equal sums", "rejected, not charged"],
)
def test_a_tenant_that_stripe_knows_must_be_right_and_have_no_rejected_usage(wrong: Account) -> None:
    found = {**EXPECTED, ACME: wrong}
    assert 1 == verdict(0, found)
    assert len(TENANTS) - 1 == billed_right(found)


@pytest.mark.parametrize("orphan", [RIGHT, replace(PARKED, stripe=5)], ids=["not rejected", "charged"])
def test_the_tenant_that_stripe_does_not_know_must_be_rejected_and_charged_nothing(orphan: Account) -> None:
    assert 1 == verdict(0, {**EXPECTED, ORPHAN.tenant_id: orphan})
