from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from apps.catalog.models import Provider
from apps.quotas import replicas, windows
from apps.quotas.models import Replica
from apps.runtime import build, gateways
from apps.runtime.state import state
from tests import factories

pytestmark = pytest.mark.django_db

TELLING = ["/health/detailed", "/providers", "/config", "/settings", "/redis-test", "/metrics"]


@pytest.fixture
def operator(client: Client) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {django_settings.WEIR_OPERATOR_TOKEN}"
    return client


@pytest.mark.parametrize("path", TELLING)
def test_a_stranger_is_turned_away(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", TELLING)
@pytest.mark.parametrize("token", ["", "wrong", "é", "Bearer", "all but the last letter"])
def test_a_wrong_token_is_turned_away(client: Client, path: str, token: str) -> None:
    if token == "all but the last letter":
        token = django_settings.WEIR_OPERATOR_TOKEN[:-1]
    assert client.get(path, headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_an_unset_token_opens_nothing(client: Client, settings: Any) -> None:
    settings.WEIR_OPERATOR_TOKEN = ""
    assert client.get("/config", headers={"authorization": "Bearer "}).status_code == 401


@pytest.mark.parametrize("path", TELLING)
def test_the_token_opens_every_telling_page(operator: Client, path: str) -> None:
    answer = operator.get(path)
    assert answer.status_code in (200, 503)
    assert answer["Cache-Control"] == "no-store"
    assert operator.post(path).status_code == 405


@pytest.mark.parametrize("path", TELLING)
def test_a_superuser_needs_no_token_and_anybody_else_does(client: Client, path: str) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(path).status_code == 403
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    assert client.get(path).status_code in (200, 503)


def test_no_page_holds_a_secret(operator: Client, settings: Any) -> None:
    secret = "sk-ant-canary-0123456789abcdef"
    factories.deployment(at=factories.credential(secret=secret).provider)
    settings.CELERY_BROKER_URL = "redis://:broker-canary@cache/1"
    secrets = [secret, "broker-canary", django_settings.SECRET_KEY, django_settings.WEIR_KEY_PEPPER]
    secrets += [django_settings.WEIR_KEYRING, django_settings.WEIR_OPERATOR_TOKEN, str(django_settings.REDIS_URL or 0)]
    for path in TELLING:
        text = operator.get(path).content.decode()
        assert [canary for canary in secrets if len(canary) > 1 and canary in text] == [], path


def test_config_shows_named_settings_only(operator: Client, settings: Any) -> None:
    settings.WEIR_BRAND_NEW_SECRET = "unseen"
    told = operator.get("/config").json()
    assert "unseen" not in json.dumps(told)
    assert told["settings"]["weir_max_body_bytes"] == django_settings.WEIR_MAX_BODY_BYTES
    assert told["stores"]["redis"] is bool(django_settings.REDIS_URL)
    assert told["process"]["replica"] == state.replica


def test_providers_are_listed_with_their_health(operator: Client) -> None:
    provider = factories.provider("Main")
    factories.credential(provider)
    factories.deployment(at=provider)
    (row,) = operator.get("/providers").json()["providers"]
    assert (row["name"], row["vendor"], row["health"]) == ("Main", "anthropic", "unknown")
    assert (row["credentials"], row["deployments"]) == (1, 1)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({}, "unknown"),
        ({"last_check_ms": 3}, "healthy"),
        ({"last_check_ms": 3, "consecutive_failures": 1}, "failing"),
        ({"is_healthy": False, "last_check_ms": 3}, "unhealthy"),
        ({"is_enabled": False}, "disabled"),
    ],
)
def test_both_pages_tell_the_same_of_a_provider(found: dict[str, Any], told: str, operator: Client) -> None:
    Provider.objects.filter(pk=factories.provider("Main").pk).update(**found)
    (row,) = operator.get("/providers").json()["providers"]
    assert row["health"] == told
    assert operator.get("/health/detailed").json()["providers"] == {"Main": told}


def test_the_lists_cost_a_fixed_number_of_queries(operator: Client, django_assert_num_queries: Any) -> None:
    for _ in range(5):
        factories.deployment(at=factories.credential().provider)
    with django_assert_num_queries(2):
        operator.get("/providers")
    with django_assert_num_queries(4):
        operator.get("/settings")


def test_settings_show_the_order_in_which_deployments_are_tried(operator: Client) -> None:
    model = factories.model("claude")
    first, second = factories.provider("First"), factories.provider("Second")
    factories.deployment(model, second, priority=2)
    factories.deployment(model, first, priority=1)
    (told,) = operator.get("/settings").json()["models"]
    assert told["name"] == "claude"
    assert [row["provider"] for row in told["deployments"]] == ["First", "Second"]


def test_pinned_endpoints_are_among_the_settings(operator: Client) -> None:
    factories.endpoint(factories.model("claude"), "sonnet", port=8091, networks=["192.0.2.0/24"])
    factories.endpoint(name="off", is_enabled=False)
    (told,) = operator.get("/settings").json()["endpoints"]
    assert (told["name"], told["model"], told["port"], told["networks"]) == ("sonnet", "claude", 8091, ["192.0.2.0/24"])


def test_a_port_that_is_not_open_degrades_and_is_told(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    state.snapshot_at = time.time()
    monkeypatch.setattr(state, "ports", {8092: "", 8091: "in use"})
    answer = operator.get("/health/detailed")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "degraded")
    found = next(check for check in told["checks"] if check["name"] == "ports")
    assert (found["ok"], found["message"]) == (False, "port 8091: in use")
    assert told["process"]["ports"] == {"8091": "in use", "8092": "open"}
    assert f'weir_ports_failed{{replica="{state.replica}"}} 1.0' in operator.get("/metrics").content.decode()


def test_detailed_health_tells_of_checks_process_and_providers(operator: Client) -> None:
    factories.provider("Main")
    told = operator.get("/health/detailed").json()
    assert {check["name"] for check in told["checks"]} >= {"configuration", "database"}
    assert told["providers"] == {"Main": "unknown"}
    assert told["process"]["draining"] is False


def test_detailed_health_tells_of_all_gateways_and_warns_of_versions_side_by_side(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "in_flight", 2)
    for name in (replicas.name(), "other"):
        windows.beat(name, epoch=windows.register(name), about=gateways.said())
    told = operator.get("/health/detailed").json()
    assert (told["warnings"], told["versions"]) == ([], {build.VERSION: sorted(["other", replicas.name()])})
    Replica.objects.filter(name="other").update(
        about='{"version": "0.0.9", "in_flight": 5, "ports": {"8091": "in use"}}'
    )
    monkeypatch.setattr(state, "in_flight", 3)
    told = operator.get("/health/detailed").json()
    assert told["versions"] == {"0.0.9": ["other"], build.VERSION: [replicas.name()]}
    (warning,) = told["warnings"]
    assert "gateways run 0.0.9" in warning
    assert (told["in_flight"], told["process"]["in_flight"], gateways.in_flight()) == (8, 3, 8)
    assert {one["name"]: one["ports"] for one in told["gateways"]}["other"] == {"8091": "in use"}


def test_where_no_calls_are_taken_nobody_says_which_credentials_are_set_aside(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert operator.get("/providers").json()["resting"] == []
    monkeypatch.setattr(state, "role", "control")
    assert operator.get("/providers").json()["resting"] is None


@pytest.mark.embedded
def test_redis_is_not_tested_where_there_is_none(operator: Client) -> None:
    assert operator.get("/redis-test").json() == {"status": "not configured", "configured": False}


@pytest.mark.redis
def test_redis_is_tested_where_there_is_one(operator: Client) -> None:
    told = operator.get("/redis-test").json()
    assert (told["status"], told["configured"]) == ("connected", True)


def test_a_redis_that_does_not_answer_is_told_without_its_password(operator: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2-canary@127.0.0.1:9/0"
    answer = operator.get("/redis-test")
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert b"hunter2" not in answer.content
    assert b"hunter2" not in operator.get("/health/detailed").content


@pytest.mark.parametrize("accept", ["*/*", "text/plain;version=0.0.4", "application/openmetrics-text; version=1.0.0"])
def test_metrics_are_in_the_scrapers_format(operator: Client, accept: str) -> None:
    state.journal_lag = 1.5
    answer = operator.get("/metrics", headers={"accept": accept})
    state.journal_lag = 0.0
    text = answer.content.decode()
    assert answer["Content-Type"].startswith(
        "application/openmetrics-text" if "openmetrics" in accept else "text/plain"
    )
    assert f'weir_journal_lag_seconds{{replica="{state.replica}"}} 1.5' in text
    assert "python_info" in text


def test_metrics_of_several_processes_are_added_up(
    operator: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))  # for those that are started here
    monkeypatch.setattr("django.conf.settings.WEIR_FIGURES_DIR", str(tmp_path))
    program = "from prometheus_client import Counter; Counter('weir_test_calls', 'x').inc(2)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True)
    text = operator.get("/metrics").content.decode()
    assert "weir_test_calls_total 4.0" in text
    assert "weir_draining" in text
