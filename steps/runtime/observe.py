"""What a step process counts. Ids are never labels."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "leadsaga_step_attempts_total", "Answers of steps, by outcome", ["step", "direction", "outcome"]
)
SECONDS = Histogram(
    "leadsaga_step_seconds",
    "How long a bundle (Postgres steps; it may wait for others) or an attempt (vendor steps) took",
    ["step"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
RUNNING = Gauge("leadsaga_step_running", "Bundles or attempts being worked on", ["step"])
DEAD = Counter("leadsaga_step_dead_lettered_total", "Commands and messages given up", ["step"])
PUBLISH_FAILURES = Counter(
    "leadsaga_publish_failures_total", "Publishes that were not confirmed and were repeated", ["part"]
)
JOB_FAILURES = Counter("leadsaga_job_failures_total", "Rounds of background work that failed", ["step"])
REFUSED = Counter("leadsaga_usage_refused_total", "Sends of usage that Stripe refused")
DOUBTS = Counter(
    "leadsaga_doubts_read_total", "Totals of Stripe that were read to settle a doubtful send", ["outcome"]
)
FLUSH_LAG = Gauge("leadsaga_flush_lag_seconds", "Age of the oldest usage that Stripe has not confirmed")
FINDINGS = Gauge("leadsaga_findings_open", "Differences between ledger, sends and Stripe that have not gone")
RECONCILED = Gauge(
    "leadsaga_reconciled_seconds", "Since the tenant that was reconciled longest ago was compared as a whole"
)
