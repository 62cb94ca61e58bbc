"""Every metric of the orchestrator, with its labels and unit. Ids are never labels."""

from prometheus_client import Counter, Gauge, Histogram

STARTED = Counter("leadsaga_sagas_started_total", "Sagas that began to run", ["saga"])
ENDED = Counter(
    "leadsaga_sagas_ended_total", "Sagas that ended, by outcome (completed, rolled_back)", ["saga", "outcome"]
)
PARKED = Counter(
    "leadsaga_sagas_parked_total", "Times a saga was parked for a human", ["saga", "step", "direction"]
)
ATTEMPTS = Counter(
    "leadsaga_attempts_total", "Attempts of steps, by what came of them", ["step", "direction", "outcome"]
)
RESENT = Counter("leadsaga_commands_resent_total", "Commands sent again for want of an answer", ["step"])
UNANSWERED = Counter(
    "leadsaga_commands_unanswered_total", "Commands sent again for the third time or more", ["step"]
)
STALE = Counter("leadsaga_replies_stale_total", "Replies that nobody waited for any more")
UNKNOWN = Counter("leadsaga_replies_unknown_total", "Replies for sagas that do not exist")
FOREIGN = Counter(
    "leadsaga_replies_foreign_total", "Replies for sagas of a version that only another release knows"
)
MALFORMED = Counter("leadsaga_messages_malformed_total", "Messages that could not be understood", ["queue"])
GROUP_SIZE = Histogram(
    "leadsaga_group_items", "Items handled in one transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
GROUP_SECONDS = Histogram(
    "leadsaga_group_seconds",
    "From taking a group to its last confirmed publish",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PUBLISH_FAILURES = Counter(
    "leadsaga_orchestrator_publish_failures_total", "Publishes that had to be repeated"
)

WAITING = Gauge("leadsaga_sagas_waiting", "Accepted sagas whose turn has not come")
IN_FLIGHT = Gauge("leadsaga_sagas_in_flight", "Sagas that count against the limit")
PARKED_NOW = Gauge("leadsaga_sagas_parked_now", "Sagas that wait for a human")
DEAD_LETTERS = Gauge("leadsaga_dead_letters_open", "Dead letters nobody has dealt with")
EVENTS_WAITING = Gauge("leadsaga_events_waiting", "Events not yet confirmed by the broker")
OLDEST = Gauge("leadsaga_oldest_unfinished_seconds", "Age of the oldest saga that is not ended, nor parked")
