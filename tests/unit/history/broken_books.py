"""Histories whose effects, quota, ledger, sends, events or notices are wrong."""

from dataclasses import replace

from contracts.outcomes import Done, Unknown
from tests.kit.history.records import (
    Carrier,
    Hold,
    LeadCount,
    LedgerRow,
    MeterEvent,
    WaitingEvent,
)
from tests.unit.history.broken_logs import Break
from tests.unit.history.samples import (
    CUSTOMER,
    DELIVERED,
    FAILED,
    INTENT,
    REVERSAL,
    USAGE,
    changed,
    heard,
    named,
    without,
)

STRANGER = ("acme", named("stranger"))
_EFFECT = {"key": DELIVERED, "step": "generate_leads"}
_UNDONE = {"key": FAILED, "step": "generate_leads", "direction": "do"}
_AGAIN = LedgerRow(key=DELIVERED, ledger_id=named("again"), request_id="r-1", kind="usage", leads=3)

EFFECTS: dict[str, tuple[str, Break]] = {
    "an attempt ran that nobody asked for": (
        "effects_were_asked_for",
        lambda good: changed(good, "effects", _EFFECT, attempt=2),
    ),
    "a step worked for a saga that does not exist": (
        "effects_were_asked_for",
        lambda good: changed(good, "effects", _EFFECT, key=STRANGER),
    ),
    "the log knows of an effect that is not there": (
        "log_and_effects_agree",
        lambda good: without(good, "effects", **_EFFECT),
    ),
    "the log has other facts": (
        "log_and_effects_agree",
        lambda good: changed(good, "effects", _EFFECT, answer=Done(facts={"leads": 99})),
    ),
    "the log says of a failure what the step did not": (
        "log_and_effects_agree",
        lambda good: changed(good, "effects", _UNDONE, answer=Unknown(reason="lost")),
    ),
    "a step took effect and nobody heard": (
        "effects_are_in_the_log",
        lambda good: changed(good, "effects", _UNDONE, state="done"),
    ),
    "an answer is owed for ever": (
        "no_answer_is_owed",
        lambda good: changed(good, "effects", _EFFECT, owed=True),
    ),
    "what may have happened was not undone": (
        "rolled_back_sagas_leave_nothing",
        lambda good: changed(good, "effects", _UNDONE, state="open", answer=Unknown(reason="lost")),
    ),
    "drafts are left": (
        "rolled_back_sagas_leave_nothing",
        lambda good: replace(good, leads=[*(good.leads or ()), LeadCount(key=FAILED, drafts=1)]),
    ),
}

QUOTA: dict[str, tuple[str, Break]] = {
    "an ended saga holds quota": (
        "ended_sagas_hold_nothing",
        lambda good: changed(good, "holds", {"key": FAILED}, state="held"),
    ),
    "nobody's hold": (
        "ended_sagas_hold_nothing",
        lambda good: replace(good, holds=[*(good.holds or ()), Hold(key=STRANGER, leads=1, state="held")]),
    ),
    "more is held than was promised": (
        "quota_adds_up",
        lambda good: changed(good, "quotas", {"tenant_id": "acme"}, held=1),
    ),
    "less is used than was delivered": (
        "quota_adds_up",
        lambda good: changed(good, "quotas", {"tenant_id": "acme"}, used=1),
    ),
    "more was delivered than promised": (
        "usage_settles_its_hold",
        lambda good: changed(good, "holds", {"key": DELIVERED}, leads=2),
    ),
}

BILLING: dict[str, tuple[str, Break]] = {
    "a lead is visible and not billed": (
        "visible_leads_are_the_usage",
        lambda good: changed(good, "leads", {"key": DELIVERED}, visible=4),
    ),
    "a delivery is billed twice": (
        "visible_leads_are_the_usage",
        lambda good: replace(good, ledger=[*(good.ledger or ()), _AGAIN]),
    ),
    "more was refunded than billed": (
        "reversals_never_exceed_usage",
        lambda good: changed(good, "ledger", {"ledger_id": REVERSAL}, leads=-4),
    ),
    "a refund takes back somebody else's usage": (
        "reversals_never_exceed_usage",
        lambda good: changed(good, "ledger", {"ledger_id": REVERSAL}, request_id="r-2"),
    ),
    "usage is carried twice": (
        "ledger_rows_have_one_carrier",
        lambda good: replace(
            good,
            carriers=[
                *(good.carriers or ()),
                Carrier(tenant_id="acme", ledger_id=USAGE, intent_id=named("other")),
            ],
        ),
    ),
    "usage is never carried": (
        "ledger_rows_have_one_carrier",
        lambda good: without(good, "carriers", ledger_id=USAGE),
    ),
    "a send is not the sum of its rows": (
        "intents_carry_their_value",
        lambda good: changed(good, "intents", {"intent_id": INTENT}, value=3),
    ),
    "a missing send keeps its rows": (
        "intents_carry_their_value",
        lambda good: changed(good, "intents", {"intent_id": INTENT}, state="missing"),
    ),
    "a send is never settled": (
        "sends_are_settled",
        lambda good: changed(good, "intents", {"intent_id": INTENT}, state="sending"),
    ),
    "a send was counted twice": (
        "vendor_counted_each_send_once",
        lambda good: changed(good, "meter_events", {"identifier": "i-1"}, times=2),
    ),
    "a confirmed send was never counted": (
        "vendor_counted_each_send_once",
        lambda good: replace(good, meter_events=[]),
    ),
    "the vendor counted what nobody planned": (
        "vendor_counted_each_send_once",
        lambda good: replace(
            good,
            meter_events=[
                *(good.meter_events or ()),
                MeterEvent(customer=CUSTOMER, identifier="i-2", value=1),
            ],
        ),
    ),
    "the vendor was told another sum": (
        "ledger_is_what_the_vendor_was_told",
        lambda good: changed(good, "meters", {"customer": CUSTOMER}, total=3),
    ),
}

SPEECH: dict[str, tuple[str, Break]] = {
    "upstream never heard of the end": (
        "everything_was_heard",
        lambda good: without(good, "heard", name="failed"),
    ),
    "upstream heard what did not happen": (
        "nothing_else_was_heard",
        lambda good: replace(good, heard=[*(good.heard or ()), heard("parked", FAILED, "r-2")]),
    ),
    "a part of the delivery was lost": (
        "delivery_was_heard",
        lambda good: without(good, "heard", name="leads_ready", part=2),
    ),
    "the completion speaks of other leads": (
        "delivery_was_heard",
        lambda good: changed(good, "heard", {"name": "completed"}, leads=4),
    ),
    "the refund speaks of other leads": (
        "refunds_say_what_was_given_back",
        lambda good: changed(good, "heard", {"name": "refunded"}, leads=2),
    ),
    "an event waits for ever": (
        "no_event_waits_for_ever",
        lambda good: replace(
            good, waiting=[WaitingEvent(event_id=named("event"), tenant_id="acme", name="completed")]
        ),
    ),
    "a notice was said twice": (
        "notices_are_said_at_most_once",
        lambda good: changed(good, "notices", {"key": DELIVERED}, said=2),
    ),
    "a model call is on nobody's record": (
        "model_calls_are_on_record",
        lambda good: changed(good, "model_calls", {"key": FAILED}, known=1),
    ),
    "a notice that counts as sent was not said": (
        "notices_are_said_at_most_once",
        lambda good: changed(good, "notices", {"key": DELIVERED}, said=0),
    ),
}
