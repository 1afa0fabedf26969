"""Changing policies. Every change is validated and recorded; each function raises ValidationError."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.audit import services as audit
from apps.audit.models import Area
from apps.policies import models
from apps.policies.models import SUBJECTS, Assignment, CachePolicy, DataPolicy, ManagedSettings, OnRequest, Rule
from apps.tenants.models import Tenant, Unguessable

_POLICY_FIELDS = frozenset(
    {"name", "required_tags", "forbidden_tags", "regions", "route_tag", "is_enabled", "note"},
)
_CACHE_FIELDS = frozenset(
    {
        *("ttl_seconds", "max_bytes", "is_always", "is_forced", "is_enabled"),
        *("semantic_model", "semantic_threshold"),
    }
)


def create_policy(*, actor: Any, rules: dict[str, tuple[str, str]] | None = None, **fields: Any) -> DataPolicy:
    """`rules` by kind: what becomes of it in a request, and in an answer; "": nothing."""
    with transaction.atomic():
        policy = DataPolicy(**fields)
        audit.add(policy, actor=actor, action="datapolicy.created", area=Area.POLICIES)
        for kind, (on_request, on_response) in (rules or {}).items():
            add_rule(Rule(policy=policy, kind=kind, on_request=on_request, on_response=on_response), actor=actor)
        check(policy)
    return policy


def update_policy(policy: DataPolicy, *, actor: Any, **changes: Any) -> DataPolicy:
    with transaction.atomic():
        change_policy(policy, actor=actor, **changes)
        check(policy)
    return policy


def change_policy(policy: DataPolicy, *, actor: Any, **changes: Any) -> None:
    """Without its rules, which are yet to be changed with it: then `check`."""
    audit.amend(
        policy,
        actor=actor,
        action="datapolicy.updated",
        area=Area.POLICIES,
        changes=changes,
        allowed=_POLICY_FIELDS,
    )


def check(policy: DataPolicy) -> None:
    """That a policy and its rules are of one mind, whichever was written last."""
    routed = policy.rules.filter(on_request=OnRequest.ROUTE).values_list("kind", flat=True).first()
    if routed is not None and not policy.route_tag:
        raise ValidationError({"route_tag": f"Say where: its rule sends {routed} to the providers with a tag."})


def remove_policy(policy: DataPolicy, *, actor: Any) -> None:
    audit.remove(policy, actor=actor, action="datapolicy.removed", area=Area.POLICIES)


def set_rule(policy: DataPolicy, kind: str, *, actor: Any, on_request: str = "", on_response: str = "") -> Rule:
    with transaction.atomic():
        rule = policy.rules.filter(kind=kind).first()
        if rule is None:
            rule = add_rule(Rule(policy=policy, kind=kind, on_request=on_request, on_response=on_response), actor=actor)
        else:
            change_rule(rule, actor=actor, on_request=on_request, on_response=on_response)
        check(policy)
    return rule


def add_rule(rule: Rule, *, actor: Any) -> Rule:
    """As `change_policy`, one of several changes to a policy: then `check`."""
    audit.add(rule, actor=actor, action="rule.created", area=Area.POLICIES)
    return rule


def change_rule(rule: Rule, *, actor: Any, **changes: Any) -> None:
    """`on_request`, `on_response`; then `check`."""
    allowed = frozenset({"on_request", "on_response"})
    audit.amend(rule, actor=actor, action="rule.updated", area=Area.POLICIES, changes=changes, allowed=allowed)


def remove_rule(rule: Rule, *, actor: Any) -> None:
    audit.remove(rule, actor=actor, action="rule.removed", area=Area.POLICIES)


def assign(policy: DataPolicy, *, actor: Any, **subject: Any) -> Assignment:
    """To one of `tenant`, `project`, `key`, or `everyone=True`."""
    assignment = Assignment(policy=policy, **subject)
    add_assignment(assignment, actor=actor)
    return assignment


def add_assignment(assignment: Assignment, *, actor: Any) -> None:
    audit.add(
        assignment,
        actor=actor,
        action="policy.assigned",
        area=Area.POLICIES,
        tenant_id=_tenant_of(assignment),
    )


def unassign(assignment: Assignment, *, actor: Any) -> None:
    tenant_id = _tenant_of(assignment)
    audit.remove(assignment, actor=actor, action="policy.unassigned", area=Area.POLICIES, tenant_id=tenant_id)


def create_cache(*, actor: Any, **fields: Any) -> CachePolicy:
    """Of a `model` or a `key`."""
    cache = CachePolicy(**fields)
    audit.add(cache, actor=actor, action="cachepolicy.created", area=Area.POLICIES)
    return cache


def update_cache(cache: CachePolicy, *, actor: Any, **changes: Any) -> CachePolicy:
    """Another model or key is another policy."""
    audit.amend(
        cache, actor=actor, action="cachepolicy.updated", area=Area.POLICIES, changes=changes, allowed=_CACHE_FIELDS
    )
    return cache


def forget_answers(cache: CachePolicy, *, actor: Any) -> None:
    """Throws away what was kept under the policy; gateways heed it within a second or so."""
    changes = {"generation": models.new_generation()}
    audit.amend(cache, actor=actor, action="cachepolicy.forgotten", area=Area.POLICIES, changes=changes)


def forget_tenant(tenant: Tenant, *, actor: Any) -> None:
    """Throws away what was kept of a tenant, under whichever policies: it is not looked for any more, and does not open
    any more either."""
    changes = {"generation": models.new_generation()}
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(kept_secret=Unguessable())
        found = models.TenantCache.objects.filter(tenant=tenant).first()
        action, scope = "tenantcache.forgotten", {"area": Area.POLICIES, "tenant_id": tenant.pk}
        if found is None:
            audit.add(models.TenantCache(tenant=tenant), actor=actor, action=action, **scope)
        else:
            audit.amend(found, actor=actor, action=action, changes=changes, **scope)


def remove_cache(cache: CachePolicy, *, actor: Any) -> None:
    audit.remove(cache, actor=actor, action="cachepolicy.removed", area=Area.POLICIES)


def settle(*, actor: Any, **fields: Any) -> ManagedSettings:
    """What coding agents keep to; see ManagedSettings."""
    settled = ManagedSettings(**fields)
    audit.add(settled, actor=actor, action="managedsettings.created", area=Area.POLICIES)
    return settled


def resettle(settled: ManagedSettings, *, actor: Any, **changes: Any) -> ManagedSettings:
    """Agents ask once an hour."""
    allowed = frozenset({"name", "tenant", "project", "role", "priority", "settings", "is_enabled", "note"})
    audit.amend(
        settled, actor=actor, action="managedsettings.updated", area=Area.POLICIES, changes=changes, allowed=allowed
    )
    return settled


def unsettle(settled: ManagedSettings, *, actor: Any) -> None:
    audit.remove(settled, actor=actor, action="managedsettings.removed", area=Area.POLICIES)


def _tenant_of(assignment: Assignment) -> int | None:
    """Whose affair it is, for the audit."""
    if assignment.scope == "tenant" or assignment.scope not in SUBJECTS:
        return assignment.tenant_id
    tenant_id: int = getattr(assignment, assignment.scope).tenant_id
    return tenant_id
