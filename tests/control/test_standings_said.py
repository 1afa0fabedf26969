"""Breakers of other processes without a Redis: what gateways say with their heartbeats, and who hears it."""

from __future__ import annotations

import time

import pytest
from django.utils import timezone

from apps.alerts import evaluation, services
from apps.alerts.models import Alert
from apps.quotas import replicas, windows
from apps.quotas.models import Replica
from apps.runtime import standings
from apps.runtime.state import DeploymentStanding, state
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _without_redis(settings):
    settings.REDIS_URL = ""


@pytest.fixture
def deployment():
    return factories.deployment(at=factories.provider("Far away"))


def standing(deployment, breaker="open", until=None):
    ends = time.time() + 30 if until is None and breaker == "open" else until
    return DeploymentStanding(deployment.pk, "Far away", "m", breaker, ends, "timeouts", None, None, None, 1.0)


def beat(monkeypatch, *rows, name="other"):
    """As another process does: with what it knows itself, of which this one knows nothing."""
    epoch = windows.register(name)
    with monkeypatch.context() as there:
        there.setattr(state, "deployments", rows)
        windows.beat(name, epoch=epoch, standing=standings.told())


def phases():
    return {pk: row.breaker for pk, row in standings.by_deployment().items()}


def test_a_process_without_redis_hears_of_breakers_of_others_and_that_they_closed(deployment, monkeypatch):
    beat(monkeypatch, standing(deployment))
    found = standings.by_deployment()[deployment.pk]
    assert (found.breaker, found.reason, found.provider) == ("open", "timeouts", "Far away")
    beat(monkeypatch, standing(deployment, until=time.time() - 1))
    assert phases() == {deployment.pk: "half_open"}, "it waits for a call"
    beat(monkeypatch, standing(deployment, "closed"))
    assert phases() == {}
    assert Replica.objects.get(name="other").standing == ""


def test_of_several_processes_the_worst_is_told_and_who_is_silent_is_not_heard(deployment, monkeypatch):
    beat(monkeypatch, standing(deployment, "half_open"), name="one")
    beat(monkeypatch, standing(deployment), name="two")
    beat(monkeypatch, standing(deployment), name=replicas.name())
    assert phases() == {deployment.pk: "open"}
    Replica.objects.filter(name="two").update(heartbeat=timezone.now() - 2 * windows.QUIET_AFTER)
    assert phases() == {deployment.pk: "half_open"}, "what this process said itself is no news to it"
    monkeypatch.setattr(state, "deployments", (standing(deployment, "closed"),))
    assert phases() == {deployment.pk: "half_open"}


def test_an_alert_of_open_breakers_needs_no_redis(deployment, monkeypatch):
    services.create_rule(actor=None, tenant=None, kind="breaker", name="Breakers", settings={})
    evaluation.evaluate(timezone.now())
    assert not Alert.objects.exists()
    beat(monkeypatch, standing(deployment))
    evaluation.evaluate(timezone.now() + evaluation.AGAIN)
    assert Alert.objects.get().subject == f"deployment:{deployment.pk}"


def test_what_is_said_is_bounded(deployment, monkeypatch):
    monkeypatch.setattr(state, "deployments", tuple(standing(deployment) for _ in range(5_000)))
    assert len(standings.told()) < 200_000
