"""The checker: every rule, held against one history."""

from orchestrator.store.port import SagaKey
from tests.kit.history import billing, effects, endings, events, logs, notices, quota
from tests.kit.history.records import History
from tests.kit.history.violation import Rule, Violation

RULES: tuple[Rule, ...] = (
    *logs.RULES,
    *endings.RULES,
    *effects.RULES,
    *quota.RULES,
    *billing.RULES,
    *events.RULES,
    *notices.RULES,
)


def check(history: History) -> list[Violation]:
    """Everything that is wrong, in the order of the rules; nothing when all promises were kept."""
    return [_violation(rule, who, what) for rule in RULES for who, what in rule(history)]


def _violation(rule: Rule, who: SagaKey | str, what: str) -> Violation:
    tenant_id, saga_id = (who, None) if isinstance(who, str) else who
    return Violation(rule.__name__, tenant_id, saga_id, what)
