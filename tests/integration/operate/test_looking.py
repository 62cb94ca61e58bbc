"""Operators see where sagas stand and what happened, and what they look at of a tenant's is written down."""

import re
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from contracts.outcomes import Rejected
from tests.integration.operate.conftest import ESCAPE, Audit, Tool
from tests.integration.operate.content import HOSTILE, INTENT, saga_with_content
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import NOON, begin, done, incoming, letter, replied, saga_id, start, tell


async def test_sagas_are_listed_newest_first_and_filtered(world: PostgresWorld, operator: Tool) -> None:
    await world.add_tenant("blue")
    await begin(world, incoming(1))
    await begin(world, incoming(2, tenant="blue"), at=NOON + timedelta(minutes=1))
    await tell(world, [("acme", saga_id(1))], start())
    listed = await operator("list", "--json")
    assert [("r-2", "waiting"), ("r-1", "running")] == [(s["request_id"], s["status"]) for s in listed.json]
    for filtered in (["--tenant", "acme"], ["--status", "running"], ["--limit", 2, "--tenant", "acme"]):
        assert ["r-1"] == [s["request_id"] for s in (await operator("list", *filtered, "--json")).json]
    assert [] == (await operator("list", "--saga", "refund", "--json")).json


async def test_one_saga_is_shown_with_everything_that_happened(world: PostgresWorld, operator: Tool) -> None:
    made = await saga_with_content(world)
    by_id = (await operator("show", made, "--json")).json
    by_request = (await operator("show", "r-1", "--json")).json
    assert by_id == by_request
    kinds = ["accepted", "started", "requested", "succeeded", "requested"]
    assert kinds == [moment["kind"] for moment in by_id["timeline"]]
    assert 1.0 == by_id["timeline"][3]["after"]
    assert {"stripe_identifier": f"acme-{INTENT}", "intent_id": str(INTENT)} == by_id["effects"][0]["outside"]
    assert (f"acme-{INTENT}", "confirmed") == (by_id["ledger"][0]["identifier"], by_id["ledger"][0]["intent"])
    assert HOSTILE == by_id["notices"][0]["title"]


async def test_a_timeline_is_told_in_words_and_an_undo_by_its_own_name(
    world: PostgresWorld, operator: Tool
) -> None:
    ((_, made),) = await begin(world, incoming(1))
    no = Rejected(reason="the quota is used up")
    await tell(world, [("acme", made)], start(), done("reserve_quota"), replied("generate_leads", no))
    shown = (await operator("show", made)).out
    for words in ("asked", "surely not done", "the quota is used up", "turns back: release_quota"):
        assert words in shown
    assert "at release_quota (undo, attempt 1)" in shown


async def test_a_list_says_why_and_an_undo_goes_by_its_own_name(world: PostgresWorld, operator: Tool) -> None:
    ((_, made),) = await begin(world, incoming(1))
    no = Rejected(reason="the quota is used up " + "x" * 100)
    await tell(world, [("acme", made)], start(), done("reserve_quota"), replied("generate_leads", no))
    (line,) = [line for line in (await operator("list")).out.splitlines() if "r-1" in line]
    assert "release_quota" in line
    assert "the quota is used up xxx" in line
    assert "xxx…" in line


async def test_a_timeline_names_each_day_once_and_the_due_time_like_all_others(
    world: PostgresWorld, operator: Tool
) -> None:
    ((_, made),) = await begin(world, incoming(1))
    next_day = NOON + timedelta(days=1)
    await tell(world, [("acme", made)], start(), done("reserve_quota"), done("generate_leads", next_day))
    shown = await operator("show", made)
    rows = [line.split("│")[2].strip() for line in shown.out.splitlines() if line.startswith("│")]
    days = [row for row in rows if re.fullmatch(r"\d{4}-\d\d-\d\d", row)]
    assert [f"{NOON:%Y-%m-%d}", f"{next_day:%Y-%m-%d}"] == days
    due = datetime.fromisoformat((await operator("show", made, "--json")).json["due_at"])
    assert f"due {due:%Y-%m-%d %H:%M:%S}  " in shown.out.replace("\n", "  ")


async def test_what_does_not_exist_is_not_found(world: PostgresWorld, operator: Tool) -> None:
    await begin(world, incoming(1))
    absent = (["show", "r-9"], ["show", saga_id(9)], ["show", "r-1", "--tenant", "blue"])
    unknown_tenant = ["--tenant", "acmee"]
    absent = (*absent, ["list", *unknown_tenant], ["dead-letters", "list", *unknown_tenant])
    for arguments in (*absent, ["leads", "r-9", "--tenant", "acme"], ["dead-letters", "show", saga_id(9)]):
        ran = await operator(*arguments)
        assert (3, "") == (ran.code, ran.out)
        assert 1 == len(ran.err.splitlines())


async def test_a_request_id_of_two_tenants_is_ambiguous_until_the_tenant_is_named(
    world: PostgresWorld, operator: Tool
) -> None:
    await world.add_tenant("blue")
    await begin(world, incoming(1, name="same"), incoming(2, tenant="blue", name="same"))
    ran = await operator("show", "same")
    assert (1, True) == (ran.code, str(saga_id(2)) in ran.err)
    shown = (await operator("show", "same", "--tenant", "blue", "--json")).json
    assert str(saga_id(2)) == shown["saga"]["saga_id"]


async def test_delivered_leads_are_shown_drafts_are_not_and_the_look_is_audited(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    made = await saga_with_content(world)
    ran = await operator("leads", "r-1", "--tenant", "acme", "--reason", "ticket 7", "--json")
    assert {"Cycles & Co", HOSTILE} == {lead["company"] for lead in ran.json}
    (row,) = await audit()
    assert ("ann", "look at leads", "acme", made, "ticket 7") == tuple(
        row[name] for name in ("actor", "action", "tenant_id", "saga_id", "reason")
    )


async def test_hostile_text_neither_steers_the_terminal_nor_is_read_as_markup(
    world: PostgresWorld, operator: Tool
) -> None:
    await saga_with_content(world)
    for arguments in (["leads", "r-1", "--tenant", "acme"], ["show", "r-1"]):
        shown = (await operator(*arguments)).out
        assert "[bold red]pwned[/] :smile: [2J]0;owned evil second line" in shown
        assert not {ESCAPE, "\x07", "\u202e"} & set(shown)
    as_json = (await operator("leads", "r-1", "--tenant", "acme", "--json")).out
    assert as_json.isascii()
    assert not {ESCAPE, "\x07"} & set(as_json)


async def test_usage_shows_whether_billed_is_delivered(world: PostgresWorld, operator: Tool) -> None:
    made = await saga_with_content(world)
    (line,) = (await operator("usage", "--json")).json
    assert (2, 2, "yes") == (line["net"], line["told"], line["billed_is_delivered"])
    ((_, refund),) = await begin(world, incoming(2))
    await world.owner.pool.execute(
        "INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, original_id, unit_price,"
        " currency, event_name, period_start) SELECT tenant_id, $1, $2, request_id, 'reversal', -1,"
        " ledger_id, unit_price, currency, event_name, period_start FROM ledger WHERE saga_id = $3",
        uuid4(),
        refund,
        made,
    )
    (line,) = (await operator("usage", "--tenant", "acme", "--json")).json
    assert (1, 2, -1, "under way") == (
        line["net"], line["told"], line["under_way"], line["billed_is_delivered"],
    )  # fmt: skip
    await world.owner.pool.execute("UPDATE intents SET state = 'rejected'")
    (line,) = (await operator("usage", "--json")).json
    assert "no" == line["billed_is_delivered"]
    assert "no" in (await operator("usage")).out


async def test_dead_letters_are_listed_and_their_messages_shortened(
    world: PostgresWorld, operator: Tool
) -> None:
    ((_, made),) = await begin(world, incoming(1))
    message = b'{"tenant_id": "acme", "criteria": "makers of secret bicycles", "leads": 5}'
    async with world.store.group() as group:
        await group.bury([letter(1, key=("acme", made)), letter(2)])
    update = "UPDATE dead_letters SET message = $1 WHERE dead_letter_id = $2"
    await world.owner.pool.execute(update, message, UUID(int=1))
    await world.owner.pool.execute("UPDATE dead_letters SET status = 'moot' WHERE saga_id IS NULL")
    listed = (await operator("dead-letters", "list", "--json")).json
    assert [str(UUID(int=1))] == [each["dead_letter_id"] for each in listed]
    assert 2 == len((await operator("dead-letters", "list", "--all", "--json")).json)
    shown = (await operator("dead-letters", "show", UUID(int=1), "--json")).json
    redacted = {"tenant_id": "acme", "criteria": "makers of se... (25 characters)", "leads": 5}
    assert redacted == shown["message"]
    assert "not JSON" in (await operator("dead-letters", "show", UUID(int=2))).out
    assert "secret" not in (await operator("dead-letters", "show", UUID(int=1))).out


async def test_the_exact_bytes_of_a_dead_letter_are_written_out_and_the_look_audited(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    async with world.store.group() as group:
        await group.bury([letter(1)])
    update = "UPDATE dead_letters SET message = $1"
    await world.owner.pool.execute(update, b'{"criteria": "makers of secret bicycles"}')
    ran = await operator("dead-letters", "show", UUID(int=1), "--raw", "--reason", "ticket 7")
    assert (0, '{"criteria": "makers of secret bicycles"}') == (ran.code, ran.out)
    (row,) = await audit()
    assert ("ann", "look at dead letter", "ticket 7") == (row["actor"], row["action"], row["reason"])
    assert 2 == (await operator("dead-letters", "show", UUID(int=1), "--raw", "--json")).code
    assert 1 == len(await audit())
