"""The page of compared questions: how many there are and what they saved, and how they are thrown away."""

from __future__ import annotations

import re
import uuid

import pytest

from apps.audit.models import Record
from apps.outbound import vectors as index
from apps.outbound.vectors import Point, vectors
from apps.policies import models, services
from apps.policies.models import CachePolicy, TenantCache
from apps.runtime import clock
from gateway_site import checks
from tests import factories
from tests.control.desk import Desk, errors

pytestmark = pytest.mark.django_db
PAGE = "policies_cachepolicy_questions"


@pytest.fixture
def policy() -> CachePolicy:
    compares = factories.model("vectors", capabilities=["embeddings"])
    return services.create_cache(
        actor=None, model=factories.model("chatty"), semantic_model=compares, semantic_threshold=0.95
    )


@pytest.fixture
def held(settings, tmp_path, policy, acme, globex):
    settings.VAR_DIR = tmp_path
    vectors.open()
    for number, tenant in enumerate((acme, acme, globex)):
        point = Point(
            id=str(uuid.UUID(int=number)),
            vector=[1.0, 0.0],
            scope="a",
            ref="00",
            tenant=tenant.pk,
            model=policy.model_id,
            policy=f"model {policy.model_id}",
            generation=policy.generation,
            of_tenant=0,
            kept_at=clock.now() - 70,
            expires=clock.now() + 600,
            size=1_200,
        )
        vectors.submit(lambda point=point: vectors.put(point, most=10)).result()
    yield
    vectors.close()


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_it_tells_how_many_there_are_and_throws_them_away_with_their_answers(desk, held, policy, acme):
    assert "Compared questions" in desk.text("policies_cachepolicy_changelist")
    page = words(desk.text(PAGE))
    assert "Acme chatty cache of model chatty 2 2.4 kB" in page
    assert "Globex chatty cache of model chatty 1 1.2 kB" in page
    assert "of the tenant of the policy" in page
    before = policy.generation
    assert desk.client.post(desk.url(PAGE), {"policy": policy.pk}).status_code == 302
    policy.refresh_from_db()
    assert policy.generation > before
    assert desk.client.post(desk.url(PAGE), {"tenant": acme.pk}).status_code == 302
    assert TenantCache.objects.get().tenant == acme
    actions = ["cachepolicy.forgotten", "tenantcache.forgotten"]
    assert list(Record.objects.filter(actor_id=desk.user.pk).order_by("pk").values_list("action", flat=True)) == actions
    for wrong in ({"policy": "0"}, {"tenant": "x"}, {}):
        assert desk.client.post(desk.url(PAGE), wrong).status_code == 404


def test_who_may_only_look_sees_no_names_of_tenants_and_throws_nothing_away(held):
    some = Desk(factories.staff("policies.view_cachepolicy"))
    page = words(some.text(PAGE))
    assert "Acme" not in page
    assert "of the tenant" not in page
    assert some.client.post(some.url(PAGE), {"tenant": 1}).status_code == 403
    assert Desk(factories.staff("keys.view_key")).get(PAGE).status_code == 403


def test_it_says_why_there_is_nothing_to_see(desk, settings, monkeypatch):
    assert "Nothing is compared in this process" in desk.text(PAGE)
    settings.WEIR_QDRANT_URL = "http://127.0.0.1:1"
    monkeypatch.setattr(index, "SERVER_SECONDS", 1)
    try:
        assert "It does not answer" in desk.text(PAGE)
    finally:
        vectors.close()


def test_without_its_package_the_field_says_what_to_install(desk, policy, monkeypatch):
    monkeypatch.setattr(models, "is_installed", lambda: False)
    refused = desk.send("policies_cachepolicy_change", policy.pk, ttl_seconds=60)
    assert "requirements/semantic.txt" in errors(refused)["semantic_model"][0]
    monkeypatch.setattr(checks, "is_installed", lambda: False)
    assert checks.questions(databases=None) == []
    assert [found.id for found in checks.questions(databases=["default"])] == ["weir.W018"]
