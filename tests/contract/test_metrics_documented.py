"""Alerts name metrics that exist, and deploy/README.md describes every metric of the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.metrics import MetricWrapperBase

from orchestrator.observe import metrics
from steps.runtime import observe

DEPLOY = Path(__file__).parents[2] / "deploy"
ROW = re.compile(r"^\| `(leadsaga_\w+)` \| (\w+) \| (.*?) ?\| (.+?) \| (.+?) \|$", re.MULTILINE)

BROKER = {
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
}
"""What RabbitMQ tells at /metrics and /metrics/detailed, with the families that prometheus.yml asks for."""

HARMLESS_LABELS = {
    "saga": "its name: lead or refund",
    "step": "a step or its queue",
    "part": "a step",
    "queue": "a queue",
    "direction": "do or undo",
    "outcome": "a kind of outcome",
}
"""Few values each, all from our own code. Every id of a tenant, saga or request would make a series."""


def _metrics(module: ModuleType) -> list[MetricWrapperBase]:
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


METRICS = [*_metrics(metrics), *_metrics(observe)]


def _name(metric: MetricWrapperBase) -> str:
    """As it is scraped."""
    return metric._name + ("_total" if metric._type == "counter" else "")


def _samples() -> Iterator[str]:
    for metric in METRICS:
        yield _name(metric)
        if metric._type == "histogram":
            yield from (f"{metric._name}_{part}" for part in ("bucket", "count", "sum"))
    for of_any_process in PROCESS_COLLECTOR.collect():
        yield of_any_process.name


def _alerts() -> dict[str, dict[str, object]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@pytest.mark.parametrize("alert", sorted(_alerts()))
def test_an_alert_names_only_metrics_that_exist(alert: str) -> None:
    named = set(re.findall(r"\b(?:leadsaga|rabbitmq|process)_\w+|\bup\b", str(_alerts()[alert]["expr"])))
    assert named
    assert set() == named - set(_samples()) - BROKER - {"up"}


@pytest.mark.parametrize("alert", sorted(_alerts()))
def test_an_alert_leads_to_a_section_of_the_runbook(alert: str) -> None:
    rule = _alerts()[alert]
    headings = re.findall(r"^## (.+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert rule["annotations"]["runbook"] in anchors
    assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize(
    "metric",
    [
        "leadsaga_commands_unanswered_total",
        "leadsaga_sagas_parked_now",
        "leadsaga_sagas_parked_total",
        "leadsaga_dead_letters_open",
        "leadsaga_oldest_unfinished_seconds",
        "leadsaga_flush_lag_seconds",
        "leadsaga_findings_open",
        "leadsaga_reconciled_seconds",
        "leadsaga_orchestrator_publish_failures_total",
        "leadsaga_publish_failures_total",
        "leadsaga_replies_foreign_total",
        "process_start_time_seconds",
        "rabbitmq_detailed_queue_consumers",
        "up",
    ],
)
def test_what_a_human_must_know_has_an_alert(metric: str) -> None:
    assert [name for name, rule in _alerts().items() if re.search(rf"\b{metric}\b", str(rule["expr"]))]


def test_the_table_has_every_metric_with_its_kind_and_labels() -> None:
    rows = ROW.findall((DEPLOY / "README.md").read_text())
    described = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _, _ in rows}
    assert len(rows) == len(described)
    assert {_name(metric): (metric._type, metric._labelnames) for metric in METRICS} == described


def test_seconds_are_called_seconds() -> None:
    rows = ROW.findall((DEPLOY / "README.md").read_text())
    assert {name for name, *_ in rows if name.endswith("_seconds")} == {
        name for name, _, _, unit, _ in rows if unit == "s"
    }


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(module, name, id=f"{module.__name__}.{name}")
        for module in (metrics, observe)
        for name, value in vars(module).items()
        if isinstance(value, MetricWrapperBase)
    ],
)
def test_every_metric_is_recorded_somewhere(module: ModuleType, name: str) -> None:
    made_in = Path(str(module.__file__))
    package = DEPLOY.parent / module.__name__.partition(".")[0]
    recorded = re.compile(rf"\b{name}\.|\[metrics\.{name}, ")  # alone, or counted with others first
    others = (file for file in package.rglob("*.py") if file != made_in)
    assert any(recorded.search(file.read_text(encoding="utf-8")) for file in others), "it stays 0 for ever"


@pytest.mark.parametrize("metric", METRICS, ids=_name)
def test_no_label_of_a_metric_is_an_id(metric: MetricWrapperBase) -> None:
    assert set() == set(metric._labelnames) - set(HARMLESS_LABELS)
