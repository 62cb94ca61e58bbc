"""Who may ask in whose name."""

from typing import Any

import pytest

from contracts.bundle import Malformed
from contracts.requests import LeadRequested
from orchestrator.bus.senders import ANOTHER_KEY, ANOTHER_USER, Forged, Senders
from orchestrator.run.letters import FORGED, why_not_again
from orchestrator.settings import EngineSettings

LOCKED = Senders(frozenset({"leadsaga_orchestrator", "leadsaga_operator"}))
ASKED = LeadRequested(tenant_id="acme", request_id="r", criteria="bakeries", leads=1)
KEY = "acme.lead_requested"


@pytest.mark.parametrize("user", ["acme", "acme.crm", "leadsaga_orchestrator", "leadsaga_operator"])
def test_a_tenants_own_users_and_trusted_ones_are_believed(user: str) -> None:
    assert ASKED is LOCKED.believed(ASKED, KEY, user)


@pytest.mark.parametrize(
    "user", ["", "globex", "acme-eu", "xacme", "leadsaga_record_usage", "x.acme", "guest"]
)
def test_nobody_else_is(user: str) -> None:
    forged = LOCKED.believed(ASKED, KEY, user)
    assert (ANOTHER_USER, "acme", FORGED) == (forged.reason, forged.tenant_id, forged.error)
    assert ASKED == LeadRequested.model_validate_json(forged.raw)


@pytest.mark.parametrize("senders", [LOCKED, Senders()])
@pytest.mark.parametrize("key", ["globex.lead_requested", "acme-eu.x", "", "#", ".acme"])
def test_a_key_of_another_tenant_is_never_believed_whoever_sends_it(senders: Senders, key: str) -> None:
    forged = senders.believed(ASKED, key, "leadsaga_operator")
    assert (ANOTHER_KEY, "acme", "Malformed") == (forged.reason, forged.tenant_id, forged.error)


@pytest.mark.parametrize("user", ["", "globex"])
def test_without_trusted_users_user_ids_are_not_looked_at(user: str) -> None:
    assert ASKED is Senders().believed(ASKED, KEY, user)


def test_what_cannot_be_read_is_judged_by_its_key() -> None:
    unread = Malformed(b"?", "not JSON")
    assert unread is LOCKED.believed(unread, KEY, "acme.crm")
    assert unread is LOCKED.believed(unread, "nonsense of nobody", "globex")
    forged: Any = LOCKED.believed(unread, KEY, "globex")
    assert isinstance(forged, Forged)
    assert (b"?", "acme", FORGED) == (forged.raw, forged.tenant_id, forged.error)


def test_what_was_forged_is_not_published_again_by_one_who_is_trusted() -> None:
    assert "" == why_not_again("requests", KEY, "open", "Malformed")
    assert "may not speak for its tenant" in why_not_again("requests", KEY, "open", FORGED)


def test_trusted_users_are_read_from_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSAGA_ENGINE_URL", "postgresql://localhost/x")
    assert frozenset() == EngineSettings().trusted
    monkeypatch.setenv("LEADSAGA_TRUSTED_USERS", " a, b,,")
    assert {"a", "b"} == EngineSettings().trusted
