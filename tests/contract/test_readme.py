"""What the README shows is what the code is, and its code runs."""

import re
from pathlib import Path
from types import ModuleType

import aio_pika
import pytest

from contracts.bundle import decode
from contracts.names import REQUESTS, Names
from contracts.process.topology import declare_engine, declare_exchanges
from contracts.requests import LeadRequested, Request
from deploy import settings_table
from deploy.readme import README, filled
from orchestrator.core.definition import Saga, compensatable
from orchestrator.core.durations import hours, seconds
from orchestrator.sagas.lead import LEAD, LEDGER
from steps.runtime.step import Step

ROOT = README.parent
SECOND_NAMES = {"LEADSAGA_ANTHROPIC_API_KEY", "LEADSAGA_STRIPE_API_KEY"}
"""Understood beside the vendors' own names."""
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def block(part: str) -> str:
    [found] = [each for each in BLOCKS if part in each]
    return str(found)


def test_the_generated_parts_are_up_to_date() -> None:
    """Run `python -m deploy.readme --write` when this fails."""
    assert filled(TEXT) == TEXT


def test_every_variable_that_the_code_reads_is_in_the_settings_table() -> None:
    table = set(re.findall(r"^\| `([A-Z_]+)`", TEXT, re.MULTILINE))
    files = [
        file
        for package in ("contracts", "orchestrator", "steps", "deploy")
        for file in ROOT.glob(f"{package}/**/*.py")
    ]
    read = {name for file in files for name in re.findall(r'"(LEADSAGA_[A-Z_]+[A-Z])"', file.read_text())}
    assert set() == read - table - SECOND_NAMES


def test_a_class_of_settings_that_is_in_no_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_table.CONCERNS, "The orchestrator", ())
    with pytest.raises(KeyError, match="EngineSettings"):
        settings_table.settings_table()


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    missing = [link for link in links if not (README.parent / link).exists()]
    assert missing == []


async def test_the_publisher_of_the_example_reaches_the_requests_queue(
    amqp_url: str, queue_prefix: str
) -> None:
    names = Names(queue_prefix)
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        await declare_exchanges(channel, names)
        await declare_engine(channel, names)
        source = block("async def ask").replace('"leadsaga.', f'"{queue_prefix}leadsaga.')
        example = ModuleType("example")
        exec(source.replace("acme-outcomes", f"{queue_prefix}outcomes"), example.__dict__)
        await example.ask(amqp_url)
        requests = await channel.get_queue(names.queue(REQUESTS))
        message = await requests.get(no_ack=True)
        await channel.queue_delete(f"{queue_prefix}outcomes")
    assert message is not None
    [request] = decode(message.body, Request)
    assert isinstance(request, LeadRequested)
    assert request.leads == 25


def test_the_step_of_the_example_is_a_step_and_its_row_fits_into_the_lead_saga() -> None:
    example = ModuleType("steps.verify_emails")
    exec(block("async def verify_emails"), example.__dict__)
    step = example.STEP
    assert isinstance(step, Step)
    row = eval(
        block('compensatable("verify_emails"').strip().rstrip(","),
        {"compensatable": compensatable, "LEDGER": LEDGER, "seconds": seconds},
    )
    assert (row.name, row.undo) == (step.name, step.undo_name)
    saga = Saga(
        name="lead",
        version=2,
        begins_with=LeadRequested,
        deadline=hours(24),
        steps=(*LEAD.steps[:2], row, *LEAD.steps[2:]),
    )
    assert saga.after("generate_leads") == row


@pytest.mark.parametrize("document", ["README.md", "deploy/README.md", "deploy/RUNBOOK.md"])
def test_documents_name_no_path_of_one_machine(document: str) -> None:
    text = (Path(README).parent / document).read_text(encoding="utf-8")
    assert re.findall(r"/(?:root|work|home)/\S+", text) == []
