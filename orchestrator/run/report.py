"""From what a group appended to counters and log lines: a line for each turn of events that is not the usual
one, and for each entry at the level debug."""

import logging
from collections import Counter
from datetime import datetime
from typing import Any

from prometheus_client import Counter as Metric

from contracts.process import logs
from orchestrator.core.definition import Saga
from orchestrator.core.log import (
    Accepted,
    Ended,
    Entry,
    Failed,
    Parked,
    Requested,
    Resent,
    Started,
    Succeeded,
)
from orchestrator.observe import metrics
from orchestrator.run.work import Report
from orchestrator.store.port import Gauges, SagaKey

ALERT_AFTER_RESENDS = 3

USUAL = (Accepted, Started, Requested, Succeeded)
"""Nobody reads of these line by line, and every saga has a dozen."""

log = logs.get("orchestrator")


Counts = Counter[tuple[Metric, tuple[str, ...]]]
"""By metric and the values of its labels."""


def tell(report: Report) -> None:
    metrics.STALE.inc(report.stale)
    if report.unknown:
        metrics.UNKNOWN.inc(report.unknown)
        log.warning("reply_for_unknown_saga", count=report.unknown)
    if report.foreign:
        metrics.FOREIGN.inc(report.foreign)
        log.warning("reply_for_foreign_saga", count=report.foreign)
    counts, everything = Counts(), log.is_enabled_for(logging.DEBUG)
    for key, saga, entries in report.appended:
        for entry in entries:
            _count(counts, saga, entry)
            if everything or not isinstance(entry, USUAL):
                _say(key, entry)
    for (metric, labels), times in counts.items():
        metric.labels(*labels).inc(times)


def _count(counts: Counts, saga: Saga, entry: Entry) -> None:
    match entry:
        case Started():
            counts[metrics.STARTED, (saga.name,)] += 1
        case Succeeded():
            counts[metrics.ATTEMPTS, (entry.step, entry.direction, "done")] += 1
        case Failed():
            counts[metrics.ATTEMPTS, (entry.step, entry.direction, entry.verdict)] += 1
        case Resent():
            counts[metrics.RESENT, (entry.step,)] += 1
            if entry.times >= ALERT_AFTER_RESENDS:
                counts[metrics.UNANSWERED, (entry.step,)] += 1
        case Parked():
            counts[metrics.PARKED, (saga.name, entry.step, entry.direction)] += 1
        case Ended():
            counts[metrics.ENDED, (saga.name, entry.outcome)] += 1
        case _:
            pass


def _say(key: SagaKey, entry: Entry) -> None:
    ids: dict[str, Any] = {"tenant": key[0], "saga": str(key[1])}
    match entry:
        case Failed():
            log.info(
                "step_failed",
                **ids,
                step=entry.step,
                attempt=entry.attempt,
                verdict=entry.verdict,
                error=entry.error,
            )
        case Resent() if entry.times >= ALERT_AFTER_RESENDS:
            log.warning("no_answer", **ids, step=entry.step, attempt=entry.attempt, times=entry.times)
        case Parked():
            log.warning("parked", **ids, step=entry.step, attempt=entry.attempt, error=entry.error)
        case Ended(outcome="rolled_back"):
            log.info("ended", **ids, outcome=entry.outcome)
        case Ended():
            log.debug("ended", **ids, outcome=entry.outcome)
        case Succeeded():
            log.debug("step_done", **ids, step=entry.step, attempt=entry.attempt)
        case _:
            log.debug(entry.kind, **ids)


def measure(gauges: Gauges, now: datetime) -> None:
    metrics.WAITING.set(gauges.waiting)
    metrics.IN_FLIGHT.set(gauges.in_flight)
    metrics.PARKED_NOW.set(gauges.parked)
    metrics.DEAD_LETTERS.set(gauges.open_dead_letters)
    metrics.EVENTS_WAITING.set(gauges.events_waiting)
    oldest = gauges.oldest_unfinished
    metrics.OLDEST.set(0 if oldest is None else (now - oldest).total_seconds())
