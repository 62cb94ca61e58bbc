"""deploy/compose.yaml and what Prometheus scrapes fit the code and each other."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.process.settings import ProcessSettings
from deploy.images import new_env
from deploy.local.services.rabbitmq import LARGEST_MESSAGE
from steps import catalogue

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

ONE_SHOT = {"migrate", "leadsaga"}
OURS = {"migrate", "leadsaga", "sandbox", "orchestrator", *catalogue.names()}
OTHERS = {"postgres", "rabbitmq", "prometheus"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def test_there_is_a_service_for_every_step_and_no_other(services: dict[str, Any]) -> None:
    assert OURS | OTHERS == set(services)
    for name in catalogue.names():
        assert ["steps", name] == services[name]["command"]
    assert ["orchestrator", "run", "orchestrator"] == services["orchestrator"]["command"]


@pytest.mark.parametrize("name", sorted(OURS | OTHERS))
def test_every_container_is_confined(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert int(service["user"].split(":")[0]) > 0, "root"
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert not {"privileged", "pid", "ipc", "cap_add", "devices"} & set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(OURS | OTHERS))
def test_every_service_that_stays_is_watched_and_started_again(services: dict[str, Any], name: str) -> None:
    service = services[name]
    stays = name not in ONE_SHOT
    assert stays == ("test" in service["healthcheck"])
    assert ("unless-stopped" if stays else "no") == service["restart"]


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT - {"sandbox"}))
def test_processes_wait_for_the_schema_and_the_broker(services: dict[str, Any], name: str) -> None:
    needed = services[name]["depends_on"]
    assert "service_completed_successfully" == needed["migrate"]["condition"]
    assert "service_healthy" == needed["rabbitmq"]["condition"]
    assert "service_healthy" == services["migrate"]["depends_on"]["postgres"]["condition"]


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT - {"sandbox"}))
def test_a_process_may_drain_before_it_is_killed(services: dict[str, Any], name: str) -> None:
    service = services[name]
    drain = float(service["environment"]["LEADSAGA_DRAIN_SECONDS"])
    assert drain == ProcessSettings.model_fields["drain_seconds"].default
    assert int(service["stop_grace_period"].removesuffix("s")) > drain


def test_what_shares_a_network_has_ports_of_its_own(services: dict[str, Any]) -> None:
    together = {name for name in OURS if services[name].get("network_mode") == "service:sandbox"} | {
        "sandbox"
    }
    ports = [services[name]["environment"]["LEADSAGA_HTTP_PORT"] for name in together]
    assert len(together) == len(set(ports))
    for name in together - {"sandbox"}:
        assert not {"networks", "ports"} & set(services[name])
        assert "service_healthy" == services[name]["depends_on"]["sandbox"]["condition"]


def test_stand_ins_are_reached_on_the_loopback_address_of_a_shared_network(services: dict[str, Any]) -> None:
    given = {
        name: value
        for name, service in services.items()
        for setting, value in service.get("environment", {}).items()
        if setting.endswith("_BASE_URL")
    }
    assert {"generate_leads", "report_to_stripe", "notify_discord", "open_account"} == set(given)
    for name, value in given.items():
        assert "http://127.0.0.1:8900/" in value
        assert "service:sandbox" == services[name]["network_mode"]


def test_prometheus_scrapes_every_process_that_stays_where_it_serves(services: dict[str, Any]) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    scraped = {
        target["labels"]["process"]: target["targets"][0] for target in jobs["leadsaga"]["static_configs"]
    }
    expected = {}
    for name in OURS - ONE_SHOT - {"sandbox"}:
        service = services[name]
        assert "0.0.0.0" == service["environment"]["LEADSAGA_HTTP_HOST"]
        host = service.get("network_mode", f"service:{name}").removeprefix("service:")
        expected[name] = f"{host}:{service['environment']['LEADSAGA_HTTP_PORT']}"
    assert expected == scraped
    assert ["queue_coarse_metrics", "queue_consumer_count"] == jobs["rabbitmq_queues"]["params"]["family"]


def test_no_secret_stands_in_the_files_and_none_may_be_missing() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = (DEPLOY / "compose.env.example").read_text()
    secrets = set(new_env.EMPTY.findall(example))
    assert secrets == set(re.findall(r"\$\{(\w+_PASSWORD|LEADSAGA_SECRETS_KEY)", text))
    for name in secrets:
        assert f"${{{name}:?" in text
    assert [] == re.findall(r"://\w+:[^$@\s]+@", text)


def test_every_variable_of_the_compose_file_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text())) - {
        "USER",
        "LEADSAGA_ACTOR",
    }
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE))
    assert used == given


def test_a_new_env_file_has_fresh_secrets_for_its_owner_only_and_is_never_overwritten(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "compose.env", tmp_path / "b" / "compose.env"
    assert [0, 0] == [new_env.main([str(file)]) for file in (first, second)]
    kept = first.read_text()
    assert 1 == new_env.main([str(first)])
    assert kept == first.read_text()
    assert 0o600 == stat.S_IMODE(first.stat().st_mode)
    found = re.findall(r"^\w+_PASSWORD=([0-9a-f]{48})$", kept + second.read_text(), re.MULTILINE)
    assert 12 == len(set(found))


def test_the_broker_takes_no_larger_messages_than_a_private_one() -> None:
    text = (DEPLOY / "images" / "rabbitmq" / "leadsaga.conf").read_text()
    assert f"max_message_size = {LARGEST_MESSAGE}" in text.splitlines()
