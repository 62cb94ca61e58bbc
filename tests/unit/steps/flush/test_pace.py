import pytest

from contracts.process.settings import BadSettings, load
from steps.billing.settings import FlushSettings
from steps.notices.settings import NoticeSettings


def test_intervals_are_scaled_and_amounts_are_not():
    flush, notices = FlushSettings().pace(0.05), NoticeSettings().pace(0.05)
    assert (flush.interval, flush.leads, flush.grace_hours) == (pytest.approx(3.0), 100, 1.0)
    assert (notices.interval, notices.patience) == (pytest.approx(0.5), 24.0)


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LEADSAGA_FLUSH_INTERVAL", "5")
    monkeypatch.setenv("LEADSAGA_FLUSH_LEADS", "7")
    pace = load(FlushSettings).pace(1.0)
    assert (pace.interval, pace.leads) == (5.0, 7)


def test_an_impossible_interval_stops_the_start(monkeypatch):
    monkeypatch.setenv("LEADSAGA_FLUSH_INTERVAL", "0")
    with pytest.raises(BadSettings, match="LEADSAGA_FLUSH_INTERVAL"):
        load(FlushSettings)


def test_limits_of_calls_are_not_scaled_and_leases_outlive_them():
    flush, notices = FlushSettings().pace(0.05), NoticeSettings().pace(0.05)
    assert (flush.call_seconds, flush.lease) == (20.0, 25.0)
    assert (notices.call_seconds, notices.lease) == (20.0, 60.0)


def test_limits_of_calls_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LEADSAGA_STRIPE_CALL_TIMEOUT", "2")
    monkeypatch.setenv("LEADSAGA_DISCORD_CALL_TIMEOUT", "3")
    assert (load(FlushSettings).pace(1.0).lease, load(NoticeSettings).pace(1.0).lease) == (2.5, 9.0)
