from datetime import UTC, datetime
from uuid import uuid4

from contracts.events import Failed
from contracts.facts import UsageRecorded, UsageRefunded
from contracts.messages import Command
from contracts.requests import MAX_CRITERIA
from steps.clients.discord_limits import ALL_TEXT, length
from steps.notices.rows import PER_MESSAGE
from steps.notices.texts import BODY, TITLE, ended_well, went_wrong

WORST = "\N{ROCKET}*@everyone_[x](https://e.example)" * 100


def command(saga: str, request: dict[str, object], fact: UsageRecorded | UsageRefunded) -> Command:
    return Command(
        tenant_id="acme", saga_id=uuid4(), saga=saga, request_id="r" * 100, step="notify_discord",
        direction="do", attempt=1, last=False, timeout=10, request=request,
        facts={fact.STEP: fact.model_dump(mode="json")},
    )  # fmt: skip


def test_ten_notices_of_the_longest_texts_fit_into_one_message():
    common = {"tenant_id": "acme", "request_id": "r" * 100}
    lead = command(
        "lead",
        {**common, "criteria": WORST[:MAX_CRITERIA], "leads": 500},
        UsageRecorded(leads=500, ledger_id=uuid4()),
    )
    refund = command(
        "refund",
        {**common, "refund_id": "f" * 100, "reason": WORST[:1000]},
        UsageRefunded(leads=500, ledger_id=uuid4(), original_id=uuid4()),
    )
    failed = Failed(
        event_id=uuid4(), tenant_id="acme", request_id="r" * 100, saga="lead", saga_id=uuid4(),
        at=datetime.now(UTC), reason=WORST,
    )  # fmt: skip
    for notice in (ended_well(lead), ended_well(refund), went_wrong(failed)):
        assert length(notice.title) <= TITLE
        assert length(notice.body) < BODY, (
            "a text that is cut may end in the middle of what makes it harmless"
        )
    assert PER_MESSAGE * (TITLE + BODY) <= ALL_TEXT


def test_one_lead_is_not_called_leads():
    request = {"tenant_id": "acme", "request_id": "r", "criteria": "bakers", "leads": 1}
    notice = ended_well(command("lead", request, UsageRecorded(leads=1, ledger_id=uuid4())))
    assert notice.title == "1 lead delivered"
