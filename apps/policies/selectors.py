"""Policies as the data plane knows them. A handful of queries, however many there are."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, get_args

from django.db.models import Q

from apps.domain import snapshot
from apps.policies.models import Assignment, CachePolicy, DataPolicy, ManagedSettings, TenantCache
from apps.tenants.models import Membership, Tenant

_requests: dict[str, snapshot.OnRequest] = {word: word for word in get_args(snapshot.OnRequest)}
_responses: dict[str, snapshot.OnResponse] = {word: word for word in get_args(snapshot.OnResponse)}

Held = dict[int, tuple[snapshot.DataPolicy, ...]]


def snapshot_policies() -> snapshot.Policies:
    """The enabled ones, by who is under them. Three queries."""
    rows = DataPolicy.objects.filter(is_enabled=True).prefetch_related("rules")
    policies = {row.pk: snapshot_policy(row) for row in rows}
    held: dict[str, dict[int, list[snapshot.DataPolicy]]] = defaultdict(lambda: defaultdict(list))
    for assignment in Assignment.objects.filter(policy__is_enabled=True).order_by("policy_id", "pk"):
        if (policy := policies.get(assignment.policy_id)) is not None:  # enabled between the queries: next time
            held[assignment.scope][getattr(assignment, f"{assignment.scope}_id", 0)].append(policy)
    return snapshot.Policies(
        everyone=tuple(held["everyone"][0]),
        tenants=_settled(held["tenant"]),
        projects=_settled(held["project"]),
        keys=_settled(held["key"]),
    )


def snapshot_policy(row: DataPolicy) -> snapshot.DataPolicy:
    """Asks for its rules, unless they are prefetched."""
    rules = row.rules.all()
    return snapshot.DataPolicy(
        id=row.pk,
        name=row.name,
        required_tags=frozenset(row.required_tags),
        forbidden_tags=frozenset(row.forbidden_tags),
        regions=None if row.regions is None else frozenset(row.regions),
        route_tag=row.route_tag,
        on_request={rule.kind: _requests[rule.on_request] for rule in rules if rule.on_request in _requests},
        on_response={rule.kind: _responses[rule.on_response] for rule in rules if rule.on_response in _responses},
    )


def snapshot_cachings() -> snapshot.Cachings:
    """The enabled ones, by model and by key. Three queries, one where there are none."""
    rows = list(CachePolicy.objects.filter(is_enabled=True).select_related("semantic_model").order_by("pk"))
    if not rows:
        return snapshot.Cachings()
    return snapshot.Cachings(
        models={row.model_id: _caching(row) for row in rows if row.model_id is not None},
        keys={row.key_id: _caching(row) for row in rows if row.key_id is not None},
        generations=dict(TenantCache.objects.values_list("tenant_id", "generation")),
        secrets={pk: bytes(secret) for pk, secret in Tenant.objects.values_list("pk", "kept_secret")},
    )


def compares_questions() -> bool:
    """Whether an enabled cache policy does."""
    return CachePolicy.objects.filter(is_enabled=True, semantic_model__is_enabled=True).exists()


def _settled(held: dict[int, list[snapshot.DataPolicy]]) -> Held:
    return {subject: tuple(policies) for subject, policies in held.items()}


def _caching(row: CachePolicy) -> snapshot.Caching:
    """Without its semantic part where nobody could compare."""
    compares = row.semantic_model
    semantic = None
    if compares is not None and compares.is_enabled and row.semantic_threshold is not None:
        semantic = snapshot.Semantic(model=compares.name, threshold=row.semantic_threshold)
    return snapshot.Caching(
        ttl=float(row.ttl_seconds),
        max_bytes=row.max_bytes,
        always=row.is_always,
        forced=row.is_forced,
        semantic=semantic,
        generation=row.generation,
    )


def managed_settings(tenant_id: int, project_id: int, user_id: int | None) -> dict[str, Any] | None:
    """What a coding agent of that caller keeps to; None: nothing is settled, which is not the same as nothing in it.
    Two queries: the role, and what fits; of equal priority the narrower goes first."""
    role = Membership.objects.filter(tenant=tenant_id, user=user_id).values_list("role", flat=True).first()
    fits = ManagedSettings.objects.filter(
        Q(tenant=None) | Q(tenant=tenant_id), Q(project=None) | Q(project=project_id), Q(role__in=["", role or ""])
    )
    rows = fits.filter(is_enabled=True).order_by("-priority")
    best = min(
        rows, key=lambda row: (-row.priority, not row.project_id, not row.role, not row.tenant_id, row.pk), default=None
    )
    return None if best is None else best.settings
