"""From an outbox to messages."""

from uuid import UUID

from contracts.bundle import MOST_BYTES, bundles, decode, joined
from contracts.messages import Command
from orchestrator.bus.publish import bundle_bounds
from orchestrator.sagas import REGISTERED


def command(number: int, padding: int = 0) -> Command:
    return Command(
        tenant_id="acme",
        saga_id=UUID(int=number),
        saga="lead",
        request_id=f"r-{number}",
        step="reserve_quota",
        direction="do",
        attempt=1,
        last=False,
        timeout=10,
        request={"criteria": "x" * padding},
    )


def test_a_bundle_has_no_more_commands_than_its_queue_allows() -> None:
    many = [command(number) for number in range(7)]
    assert [3, 3, 1] == [len(bundle) for bundle in bundles(many, 3)]
    assert many == [each for bundle in bundles(many, 3) for each in decode(joined(bundle), Command)]


def test_a_bundle_is_not_larger_than_the_limit() -> None:
    third = MOST_BYTES // 3
    large = [command(number, padding=third) for number in range(4)]
    assert [2, 2] == [len(bundle) for bundle in bundles(large, 200)]


def test_a_command_that_is_larger_than_the_limit_travels_alone() -> None:
    mixed = [command(1), command(2, padding=MOST_BYTES + 1), command(3)]
    assert [1, 1, 1] == [len(bundle) for bundle in bundles(mixed, 200)]


def test_characters_of_several_bytes_count_as_what_they_weigh() -> None:
    accented = command(1).model_copy(update={"request": {"criteria": "é" * (MOST_BYTES // 3)}})
    assert [1, 1] == [len(bundle) for bundle in bundles([accented, accented], 200)]


def test_no_commands_make_no_bundle() -> None:
    assert [] == list(bundles([], 200))


def test_a_step_that_calls_a_vendor_gets_one_command_at_a_time() -> None:
    bounds = bundle_bounds(REGISTERED)
    assert (1, 200) == (bounds["generate_leads"], bounds["reserve_quota"])
