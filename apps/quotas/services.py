"""Changing limits and budgets. Every change is validated and recorded; each function raises ValidationError."""

from __future__ import annotations

from typing import Any

from apps.audit import services as audit
from apps.audit.models import Area
from apps.quotas.models import Budget, Limit, Rule

_LIMIT_FIELDS = frozenset({"requests_per_minute", "tokens_per_minute", "concurrency", "is_enabled"})
_BUDGET_FIELDS = frozenset({"amount", "overdraft", "starts_on", "ends_on", "timezone", "is_enabled"})


def create_limit(*, actor: Any, **fields: Any) -> Limit:
    """One subject of `tenant`, `project`, `user`, `key`, `model`, `endpoint` and at least one allowance."""
    limit = Limit(**fields)
    audit.add(limit, actor=actor, action="limit.created", area=Area.QUOTAS, tenant_id=_tenant_of(limit))
    return limit


def update_limit(limit: Limit, *, actor: Any, **changes: Any) -> Limit:
    _amend(limit, actor=actor, noun="limit", changes=changes, allowed=_LIMIT_FIELDS)
    return limit


def create_budget(*, actor: Any, **fields: Any) -> Budget:
    """`amount` in nano-USD a `period`."""
    budget = Budget(**fields)
    audit.add(budget, actor=actor, action="budget.created", area=Area.QUOTAS, tenant_id=_tenant_of(budget))
    return budget


def update_budget(budget: Budget, *, actor: Any, **changes: Any) -> Budget:
    """The subject and the period stay: another one is another budget."""
    _amend(budget, actor=actor, noun="budget", changes=changes, allowed=_BUDGET_FIELDS)
    return budget


def disable(rule: Rule, *, actor: Any) -> None:
    _amend(rule, actor=actor, noun=str(rule._meta.model_name), changes={"is_enabled": False}, allowed={"is_enabled"})


def enable(rule: Rule, *, actor: Any) -> None:
    _amend(rule, actor=actor, noun=str(rule._meta.model_name), changes={"is_enabled": True}, allowed={"is_enabled"})


def remove(rule: Rule, *, actor: Any) -> None:
    """With a budget goes what it has counted, but no ledger entry."""
    action = f"{rule._meta.model_name}.removed"
    audit.remove(rule, actor=actor, action=action, area=Area.QUOTAS, tenant_id=_tenant_of(rule))


def _amend(rule: Any, *, actor: Any, noun: str, changes: dict[str, Any], allowed: Any) -> None:
    audit.amend(
        rule,
        actor=actor,
        action=f"{noun}.updated",
        area=Area.QUOTAS,
        changes=changes,
        allowed=allowed,
        tenant_id=_tenant_of(rule),
    )


def _tenant_of(rule: Rule) -> int | None:
    """Whose affair it is, for the audit; None: nobody's in particular."""
    owner = rule.project or rule.key
    return owner.tenant_id if owner is not None else rule.tenant_id
