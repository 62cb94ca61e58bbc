"""Names on the broker, and what steps raise."""

import pytest

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.names import Names, event_key, request_key


def test_every_name_carries_the_prefix_of_its_system() -> None:
    names = Names("t1.")
    assert (
        "t1.leadsaga.requests",
        "t1.leadsaga.commands",
        "t1.leadsaga.replies",
        "t1.leadsaga.events",
        "t1.leadsaga.dead",
        "t1.record_usage",
        "t1.record_usage.dead",
    ) == (
        names.requests_exchange,
        names.commands_exchange,
        names.replies_exchange,
        names.events_exchange,
        names.dead_exchange,
        names.queue("record_usage"),
        names.dead_queue("record_usage"),
    )


def test_a_routing_key_begins_with_the_tenant() -> None:
    assert ("acme.lead_requested", "acme.completed") == (
        request_key("acme", "lead_requested"),
        event_key("acme", "completed"),
    )


@pytest.mark.parametrize("error", [StepRejected, StepTransient, StepUnknown])
def test_an_error_names_its_class_unless_told_its_cause(error: type[StepError]) -> None:
    assert ("busy", error.__name__) == (error("busy").reason, error("busy").error)
    assert "RateLimited" == error("busy", error="RateLimited").error


def test_a_transient_error_says_when_to_come_back_and_whether_parts_are_stored() -> None:
    error = StepTransient("busy", retry_after=3.0, progress=True)
    assert (3.0, True) == (error.retry_after, error.progress)
