"""The rows of what policies did: written in batches and once, forgotten in time, and shown to who may see them."""

from __future__ import annotations

import datetime
import threading
import uuid
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from apps.domain import ids
from apps.domain.snapshot import Principal
from apps.policies import interventions, services, tasks
from apps.policies.interventions import Interventions
from apps.policies.models import DataPolicy, Intervention
from tests import factories
from tests.control.desk import Desk

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)
WHOSE = Principal(key_id=3, public_id="abc", tenant_id=1, project_id=2, user_id=None)
LISTED = "policies_intervention_changelist"


def noted(pending: Interventions, *, count: int = 1, at: float | None = None, **changes: Any) -> None:
    told = {"policy": (7, "pci"), "action": "block", "kinds": {"card": 1}} | changes
    for _ in range(count):
        pending.note(uuid.uuid4(), WHOSE, at=timezone.now().timestamp() if at is None else at, **told)


def kept(at: datetime.datetime, **fields: Any) -> Intervention:
    number = ids.request_id(now_ms=int(at.timestamp() * 1000), random_bits=uuid.uuid4().int)
    told = {"policy_name": "pci", "action": "block", "kinds": {"card": 2}} | fields
    return Intervention.objects.create(pk=number, at=at, request_id=uuid.uuid4(), **told)


def test_they_are_written_in_batches_and_never_twice(django_assert_num_queries):
    pending = Interventions()
    noted(pending, count=interventions._BATCH + 1)
    again = list(pending._pending)
    pending.flush()
    assert Intervention.objects.count() == len(again) == interventions._BATCH + 1
    pending._pending.extend(again)  # as after a write of which nobody heard that it was done
    pending.flush()
    assert Intervention.objects.count() == len(again)
    assert not pending
    with django_assert_num_queries(0):
        pending.flush()


def test_so_many_wait_and_what_is_beyond_is_told_of(monkeypatch, caplog):
    monkeypatch.setattr(interventions, "MOST_PENDING", 3)
    pending = Interventions()
    noted(pending, count=5)
    assert len(pending) == 3
    pending.flush()
    (line,) = [record.msg for record in caplog.records if "interventions_lost" in str(record.msg)]
    assert line["count"] == 2
    noted(pending)
    pending.flush()
    assert Intervention.objects.count() == 4
    assert str(caplog.records).count("interventions_lost") == 1


@pytest.mark.django_db(transaction=True)
def test_several_processes_write_beside_one_another():
    replicas = [Interventions() for _ in range(2)]
    failures: list[BaseException] = []

    def work(pending: Interventions) -> None:
        try:
            for _ in range(20):
                noted(pending, count=5)
                pending.flush()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(pending,)) for pending in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Intervention.objects.count() == 2 * 20 * 5


def test_what_is_old_and_what_is_too_much_is_forgotten(settings, monkeypatch):
    settings.WEIR_INTERVENTION_DAYS = 2
    now = timezone.now()
    young = [kept(now - hours * DAY / 24) for hours in (1, 20, 40)]
    for days in (3, 30):
        kept(now - days * DAY)
    assert tasks.forget_interventions() == 2
    assert {row.pk for row in Intervention.objects.all()} == {row.pk for row in young}
    monkeypatch.setattr(interventions, "MOST_KEPT", 2)
    assert tasks.forget_interventions() == 1
    assert not Intervention.objects.filter(pk=young[2].pk).exists()
    assert tasks.forget_interventions() == 0


@pytest.mark.once
def test_the_list_is_narrowed_and_leads_to_the_policy_and_the_ledger(desk, acme, globex):
    policy = services.create_policy(actor=None, name="pci", rules={"card": ("block", "")})
    now = timezone.now()
    refused = kept(now, policy=policy, tenant=acme)
    masked = kept(now - 40 * DAY, action="mask", kinds={"email": 1}, attempt=1, policy_name="gone", tenant=globex)
    ended = kept(now, action="stop", kinds={}, is_answer=True, attempt=1, policy_name="gone", tenant=globex)

    def rows(**query: Any) -> set[Any]:
        page = desk.text(LISTED, **query)
        return {row.pk for row in (refused, masked, ended) if row.public_request_id in page}

    assert rows() == {refused.pk, masked.pk, ended.pk}
    assert rows(kind="email") == {masked.pk}
    assert rows(kind="nothing") == rows()
    assert rows(**{"in": "answer"}) == {ended.pk}
    assert rows(action__exact="block") == {refused.pk}
    assert rows(policy__id__exact=policy.pk) == {refused.pk}
    assert rows(tenant__id__exact=globex.pk) == {masked.pk, ended.pk}
    assert rows(at__year=masked.at.year, at__month=masked.at.month) == {masked.pk}
    assert rows(q=masked.public_request_id) == rows(q=masked.request_id) == {masked.pk}
    assert rows(q="req_nonsense") == set()
    page = desk.text(LISTED)
    assert f"/admin/usage/entry/?q={masked.public_request_id}" in page
    assert f"?q={refused.public_request_id}" not in page  # nobody was asked, so there is no row of it
    assert desk.url("policies_datapolicy_change", policy.pk) in page
    for told in ("Card numbers × 2", "what could not be looked into", "it is no more"):
        assert told in page, told
    one = desk.text("policies_intervention_change", refused.pk)
    assert "nobody had been asked" in one
    assert 'name="_save"' not in one
    policy_page = desk.text("policies_datapolicy_change", policy.pk)
    assert f"{desk.url(LISTED)}?policy__id__exact={policy.pk}" in policy_page


@pytest.mark.once
def test_it_outlives_whom_it_tells_of_and_a_policy_can_be_removed(desk, acme):
    policy = services.create_policy(actor=None, name="pci")
    row = kept(timezone.now(), policy_id=policy.pk, tenant_id=10**9, key_id=10**9, user_id=10**9, project_id=10**9)
    assert desk.client.post(desk.url("policies_datapolicy_delete", policy.pk), {"post": "yes"}).status_code == 302
    assert not DataPolicy.objects.exists()
    assert "it is no more" in desk.text(LISTED)
    assert "it is no more" in desk.text("policies_intervention_change", row.pk)


@pytest.mark.once
def test_who_may_see_these_alone_is_led_nowhere_else(acme):
    policy = services.create_policy(actor=None, name="pci")
    row = kept(timezone.now(), action="mask", policy=policy, tenant=acme, attempt=1)
    desk = Desk(factories.staff("policies.view_intervention"))
    page = desk.text(LISTED) + desk.text("policies_intervention_change", row.pk)
    assert "pci" in page
    assert "/admin/usage/entry/" not in page
    assert desk.url("policies_datapolicy_change", policy.pk) not in page
    assert Desk(factories.staff("policies.view_datapolicy")).get(LISTED).status_code == 403
