"""From what a group appended to counters and log lines: one line for each turn of events."""

from datetime import datetime
from typing import Any

from contracts.process import logs
from orchestrator.core.definition import Saga
from orchestrator.core.log import Ended, Entry, Failed, Parked, Resent, Started, Succeeded
from orchestrator.observe import metrics
from orchestrator.run.group import Report
from orchestrator.store.port import Gauges, SagaKey

ALERT_AFTER_RESENDS = 3

log = logs.get("orchestrator")


def tell(report: Report) -> None:
    metrics.STALE.inc(report.stale)
    if report.unknown:
        metrics.UNKNOWN.inc(report.unknown)
        log.warning("reply_for_unknown_saga", count=report.unknown)
    if report.foreign:
        metrics.FOREIGN.inc(report.foreign)
        log.warning("reply_for_foreign_saga", count=report.foreign)
    for key, saga, entries in report.appended:
        for entry in entries:
            _entry(key, saga, entry)


def _entry(key: SagaKey, saga: Saga, entry: Entry) -> None:
    ids: dict[str, Any] = {"tenant": key[0], "saga": str(key[1])}
    match entry:
        case Started():
            metrics.STARTED.labels(saga.name).inc()
        case Succeeded():
            metrics.ATTEMPTS.labels(entry.step, entry.direction, "done").inc()
            log.debug("step_done", **ids, step=entry.step, attempt=entry.attempt)
        case Failed():
            metrics.ATTEMPTS.labels(entry.step, entry.direction, entry.verdict).inc()
            log.info(
                "step_failed",
                **ids,
                step=entry.step,
                attempt=entry.attempt,
                verdict=entry.verdict,
                error=entry.error,
            )
        case Resent():
            metrics.RESENT.labels(entry.step).inc()
            if entry.times >= ALERT_AFTER_RESENDS:
                metrics.UNANSWERED.labels(entry.step).inc()
                log.warning("no_answer", **ids, step=entry.step, attempt=entry.attempt, times=entry.times)
        case Parked():
            metrics.PARKED.labels(saga.name, entry.step, entry.direction).inc()
            log.warning("parked", **ids, step=entry.step, attempt=entry.attempt, error=entry.error)
        case Ended():
            metrics.ENDED.labels(saga.name, entry.outcome).inc()
            log.info("ended", **ids, outcome=entry.outcome)
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
