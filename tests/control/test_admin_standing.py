"""How deployments fare, on their list and pages, by this process's word or, through Valkey, by others'."""

from __future__ import annotations

import re
import time

import msgspec
import pytest

from apps.audit.models import Record
from apps.catalog.models import Deployment
from apps.runtime import standings
from apps.runtime.state import DeploymentStanding, state
from tests import factories, services

pytestmark = [pytest.mark.django_db, pytest.mark.once]
LIST = "catalog_deployment_changelist"


@pytest.fixture
def deployment(monkeypatch) -> Deployment:
    monkeypatch.setattr(state, "deployments", ())
    return factories.deployment()


def standing(deployment: Deployment, **fields) -> DeploymentStanding:
    told = {"breaker": "closed", "until": None, "reason": "", "first_token": 0.424, "tokens_per_second": 57.9}
    return DeploymentStanding(deployment.pk, "P", "m", **{**told, "success": 0.9994, "calls": 10.0, **fields})


def test_a_deployment_that_nobody_asked_says_so(deployment, desk):
    assert "nobody has asked it of late" in desk.text("catalog_deployment_change", deployment.pk)
    row = desk.text(LIST).partition('id="result_list"')[2]
    assert not any(f">{phase}<" in row for phase in ("closed", "half-open"))


@pytest.mark.parametrize(
    ("phase", "shown"), [("closed", "closed"), ("open", r"open (41|40|3\d) s"), ("half_open", "half-open")]
)
def test_the_state_of_a_breaker_and_what_was_measured_are_told(deployment, desk, monkeypatch, phase, shown):
    until = time.time() + 40.9 if phase == "open" else None
    found = standing(deployment, breaker=phase, until=until, reason="12 of 20 calls failed")
    monkeypatch.setattr(state, "deployments", (found,))
    row = desk.text(LIST).partition('id="result_list"')[2]
    assert re.search(f">{shown}<", row)
    assert "0.42 s · 58 t/s · 99.9 %" in row
    page = desk.text("catalog_deployment_change", deployment.pk)
    assert re.search(f">{shown}<", page)
    assert "12 of 20 calls failed" in page


@pytest.mark.parametrize(
    ("told", "limited", "unlimited"),
    [
        (None, "0 of 4", ""),
        ({"in_flight": None}, "0 of 4", ""),
        ({"in_flight": 1, "most": 2, "waiting": 3}, "1 of 4 · 3 wait", "1 of 2 · 3 wait"),
    ],
)
def test_the_room_of_a_limited_deployment_is_told_whoever_is_in_it(
    deployment, desk, monkeypatch, told, limited, unlimited
):
    monkeypatch.setattr(state, "deployments", () if told is None else (standing(deployment, **told),))
    assert (limited in desk.text(LIST), unlimited in desk.text(LIST)) == (False, True)
    Deployment.objects.update(max_concurrency=4)
    assert limited in desk.text(LIST)


def test_what_other_processes_know_is_told_weighed_by_their_calls_and_at_its_worst(deployment, settings):
    here, there = standing(deployment, calls=30.0), standing(
        deployment, breaker="open", until=time.time() + 30, reason="slow", success=0.5, first_token=None, calls=10.0
    )  # fmt: skip
    with services.valkey() as valkey:
        settings.REDIS_URL = valkey.url
        ends = int((time.time() + 10) * 1000)
        for name, row in (("r:a", here), ("r:b", there)):
            standings.client(valkey.url).hset(standings.KEY, name, b"0|%d|%b" % (ends, msgspec.json.encode([row])))
        standings.client(valkey.url).hset(standings.KEY, "r:gone", b"0|1|%b" % msgspec.json.encode([here]))
        found = standings.by_deployment()[deployment.pk]
    assert (found.breaker, found.reason, found.calls, found.first_token) == ("open", "slow", 40, 0.424)
    assert found.success == pytest.approx((0.9994 * 30 + 0.5 * 10) / 40)
    assert standings.by_deployment() == {}, "a server that is away is no error"


def test_a_reset_is_asked_for_on_the_page_or_in_the_list_and_recorded(deployment, desk):
    assert "Reset" in desk.text("catalog_deployment_reset_breaker", deployment.pk)
    assert Deployment.objects.get().breaker_reset_at is None
    assert desk.send("catalog_deployment_reset_breaker", deployment.pk).status_code == 302
    first = Deployment.objects.get().breaker_reset_at
    assert first is not None
    desk.act(LIST, "reset_breakers", deployment)
    assert Deployment.objects.get().breaker_reset_at > first
    assert Record.objects.filter(action="deployment.breaker_reset", actor_name=str(desk.user)).count() == 2
