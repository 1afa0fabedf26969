"""Data policies and cache policies: what they may be, who is under them, and what the data plane is told of them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.models import Record
from apps.domain import snapshot
from apps.policies import selectors, services
from apps.policies.findings import KEPT, Findings
from apps.policies.models import Assignment, CachePolicy, DataPolicy, Tally
from tests import factories

pytestmark = pytest.mark.django_db
HOUR = timezone.now().replace(minute=0, second=0, microsecond=0) - datetime.timedelta(days=1)


def policy(name: str = "eu-only", **fields: Any) -> DataPolicy:
    return services.create_policy(actor=None, name=name, **fields)


def refused(error: pytest.ExceptionInfo[ValidationError]) -> list[str]:
    return sorted(error.value.message_dict)


def test_the_data_plane_is_told_who_is_under_what(acme, globex, website, django_assert_num_queries):
    key = factories.key(website).key
    told = {"card": ("route", "stop"), "email": ("mask", ""), "phone": ("", "flag")}
    eu = policy(regions=["eu-west-1"], forbidden_tags=["trains"], route_tag="private", rules=told)
    hipaa = policy("hipaa", required_tags=["hipaa"])
    off = policy("off", is_enabled=False)
    services.assign(eu, actor=None, tenant=acme)
    services.assign(hipaa, actor=None, tenant=acme)
    services.assign(hipaa, actor=None, project=website)
    services.assign(eu, actor=None, key=key)
    services.assign(hipaa, actor=None, everyone=True)
    services.assign(off, actor=None, tenant=globex)
    with django_assert_num_queries(3):
        found = selectors.snapshot_policies()
    known = snapshot.DataPolicy(
        id=eu.pk,
        name="eu-only",
        forbidden_tags=frozenset({"trains"}),
        regions=frozenset({"eu-west-1"}),
        route_tag="private",
        on_request={"card": "route", "email": "mask"},
        on_response={"card": "stop", "phone": "flag"},
    )
    bare = snapshot.DataPolicy(id=hipaa.pk, name="hipaa", required_tags=frozenset({"hipaa"}))
    assert found == snapshot.Policies(
        everyone=(bare,), tenants={acme.pk: (known, bare)}, projects={website.pk: (bare,)}, keys={key.pk: (known,)}
    )


def test_the_data_plane_is_told_what_is_kept(website, django_assert_num_queries):
    key, model = factories.key(website).key, factories.model()
    compares = factories.model("vectors", capabilities=["embeddings"])
    services.create_cache(actor=None, key=key, ttl_seconds=60, max_bytes=5_000, is_always=False, is_forced=True)
    services.create_cache(actor=None, model=model, semantic_model=compares, semantic_threshold=0.9)
    services.create_cache(actor=None, model=factories.model(), is_enabled=False)
    with django_assert_num_queries(3):
        found = selectors.snapshot_cachings()
    own, models = (CachePolicy.objects.get(**of).generation for of in ({"key": key}, {"model": model}))
    assert found.keys == {
        key.pk: snapshot.Caching(ttl=60.0, max_bytes=5_000, always=False, forced=True, generation=own)
    }
    semantic = snapshot.Semantic(model="vectors", threshold=0.9)
    assert found.models == {model.pk: snapshot.Caching(ttl=3_600.0, semantic=semantic, generation=models)}
    factories.catalog.update_model(compares, actor=None, is_enabled=False)
    assert selectors.snapshot_cachings().models[model.pk].semantic is None


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "eu\nonly"}, "name"),
        ({"name": "eu\u202eonly"}, "name"),
        ({"route_tag": "private, hipaa"}, "route_tag"),
        ({"route_tag": " private"}, "route_tag"),
        ({"required_tags": ["a", "b"], "forbidden_tags": ["b"]}, "forbidden_tags"),
        ({"forbidden_tags": ["a"], "route_tag": "a"}, "route_tag"),
        ({"required_tags": "a"}, "required_tags"),
        ({"regions": []}, "regions"),
        ({"rules": {"card": ("route", "")}}, "route_tag"),
        ({"rules": {"colour": ("block", "")}}, "kind"),
        ({"rules": {"card": ("stop", "")}}, "on_request"),
        ({"rules": {"card": ("", "mask")}}, "on_response"),
        ({"rules": {"card": ("", "")}}, "__all__"),
    ],
)
def test_a_broken_policy_is_refused_with_the_field_named(wrong, field):
    with pytest.raises(ValidationError) as error:
        policy(**wrong)
    assert refused(error) == [field]
    assert not DataPolicy.objects.exists()


def test_a_rule_that_routes_holds_the_tag_it_routes_to():
    made = policy(route_tag="private", rules={"card": ("route", "")})
    with pytest.raises(ValidationError, match="card"):
        services.update_policy(made, actor=None, route_tag="")
    services.set_rule(made, "card", actor=None, on_request="block")
    services.update_policy(made, actor=None, route_tag="")
    with pytest.raises(ValidationError, match="card"):
        services.set_rule(made, "card", actor=None, on_request="route")
    assert made.rules.get().on_request == "block"
    services.remove_rule(made.rules.get(), actor=None)
    assert Record.objects.filter(area="policies").count() == 5


def test_an_assignment_has_one_subject_once(acme, website):
    made = policy()
    services.assign(made, actor=None, project=website)
    assert Record.objects.latest("pk").tenant_id == acme.pk
    for wrong in ({}, {"tenant": acme, "project": website}, {"tenant": acme, "everyone": True}, {"project": website}):
        with pytest.raises(ValidationError):
            services.assign(made, actor=None, **wrong)
    with pytest.raises(IntegrityError), transaction.atomic():
        Assignment.objects.create(policy=made, tenant=acme, everyone=True)
    services.unassign(made.assignments.get(), actor=None)
    assert not made.assignments.exists()


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"model": None}, "__all__"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": 40 * 86_400}, "ttl_seconds"),
        ({"max_bytes": 17_000_000}, "max_bytes"),
        ({"semantic_threshold": 0.9}, "semantic_model"),
        ({"semantic_model": "vectors"}, "semantic_threshold"),
        ({"semantic_model": "vectors", "semantic_threshold": 1.1}, "semantic_threshold"),
        ({"semantic_model": "vectors", "semantic_threshold": 0.0}, "semantic_threshold"),
        ({"semantic_model": "vectors", "semantic_threshold": float("nan")}, "semantic_threshold"),
        ({"semantic_model": "plain", "semantic_threshold": 0.9}, "semantic_model"),
        ({"semantic_model": "vectors", "semantic_threshold": 0.9, "model": "vectors"}, "semantic_model"),
    ],
)
def test_a_broken_cache_policy_is_refused_with_the_field_named(wrong, field):
    models = {"plain": factories.model("plain"), "vectors": factories.model("vectors", capabilities=["embeddings"])}
    fields = {"model": "plain"} | wrong
    chosen = {name: models.get(value, value) if isinstance(value, str) else value for name, value in fields.items()}
    with pytest.raises(ValidationError) as error:
        services.create_cache(actor=None, **chosen)
    assert refused(error) == [field]
    assert not CachePolicy.objects.exists()


def test_findings_are_counted_by_the_hour_and_never_told(acme):
    made, gone = policy(), policy("gone")
    findings = Findings()
    at = HOUR.timestamp()
    old = {"policy": made, "tenant": acme, "kind": "card", "action": "block"}
    Tally.objects.create(hour=timezone.now() - KEPT - datetime.timedelta(days=1), **old)
    for seconds in (1, 2, 3_601):
        findings.note(made.pk, "card", action="block", tenant_id=acme.pk, at=at + seconds, count=2)
    findings.note(gone.pk, "card", action="block", tenant_id=acme.pk, at=at)
    services.remove_policy(gone, actor=None)
    findings.flush()
    findings.note(made.pk, "card", action="block", tenant_id=acme.pk, at=at)
    findings.note(made.pk, "card", action="stop", tenant_id=acme.pk, at=at, is_answer=True)
    findings.flush()
    findings.flush()
    found = Tally.objects.order_by("hour", "action").values_list("hour", "kind", "action", "is_answer", "count")
    later = HOUR + datetime.timedelta(hours=1)
    assert list(found) == [
        (HOUR, "card", "block", False, 5),
        (HOUR, "card", "stop", True, 1),
        (later, "card", "block", False, 2),
    ]
