"""Limits and budgets as members of a tenant set them: of its projects, members and keys, never of the tenant itself.

Whoever manages budgets sets those of all of them. All others set those of their own keys, and change again only what
nobody but they has ever changed; beside what somebody else has set they may set more, as all of it restrains. Nobody
sets more than what the subject stands under anyway: its tenant's, its project's and its user's.

Each function raises PermissionDenied for what is not theirs to do, ValidationError at the field for what cannot be.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.audit import selectors as audit
from apps.domain import money
from apps.keys import selfservice as keys
from apps.keys.models import Key
from apps.keys.services import Issued
from apps.quotas import services
from apps.quotas.models import Budget, Limit, Period, Rule
from apps.tenants.models import Membership, Project, Role, Tenant
from apps.tenants.rights import Right, may
from apps.tenants.selectors import role_of

Subject = Key | Project | Membership
ALLOWANCES = ("requests_per_minute", "tokens_per_minute", "concurrency")
_TERMS = frozenset({"amount", "overdraft", "period", "starts_on", "ends_on", "timezone"})
_LONGER = {  # in which no more may be spent than in the other; of a longer budget nothing follows for a shorter period
    Period.DAY: (Period.DAY, Period.WEEK, Period.MONTH, Period.FIXED),
    Period.WEEK: (Period.WEEK, Period.MONTH, Period.FIXED),
    Period.MONTH: (Period.MONTH, Period.FIXED),
    Period.FIXED: (Period.FIXED,),
}


def issue_key(
    *,
    actor: Any,
    tenant: Tenant,
    project: Project,
    name: str,
    budget: Mapping[str, Any] | None = None,
    limit: Mapping[str, Any] | None = None,
    **scope: Any,
) -> Issued:
    """A key with its own budget and limit, all of it or nothing. See `keys.selfservice.issue`."""
    with transaction.atomic():
        issued = keys.issue(actor=actor, tenant=tenant, project=project, name=name, **scope)
        if budget is not None:
            set_budget(issued.key, actor=actor, **budget)
        if limit is not None:
            set_limit(issued.key, actor=actor, **limit)
    return issued


def set_budget(subject: Subject, *, actor: Any, **terms: Any) -> Budget:
    """Beside those that there are. `amount` in nano-USD, `overdraft`, `period`, `starts_on`, `ends_on`, `timezone`."""
    _check_names(terms, _TERMS)
    _check_may_set(subject, actor)
    with transaction.atomic():
        budget = services.create_budget(actor=actor, **_columns(subject), **terms)
        _check_budget(budget)
    return budget


def set_limit(subject: Subject, *, actor: Any, **allowances: Any) -> Limit:
    """Beside those that there are. At least one of `requests_per_minute`, `tokens_per_minute`, `concurrency`."""
    _check_names(allowances, frozenset(ALLOWANCES))
    _check_may_set(subject, actor)
    with transaction.atomic():
        limit = services.create_limit(actor=actor, **_columns(subject), **allowances)
        _check_limit(limit)
    return limit


def change_budget(budget: Budget, *, actor: Any, **terms: Any) -> Budget:
    """But for its period."""
    _check_may_change(budget, actor)
    with transaction.atomic():
        services.update_budget(budget, actor=actor, **terms)
        _check_budget(budget)
    return budget


def change_limit(limit: Limit, *, actor: Any, **allowances: Any) -> Limit:
    _check_may_change(limit, actor)
    with transaction.atomic():
        services.update_limit(limit, actor=actor, **allowances)
        _check_limit(limit)
    return limit


def remove(rule: Rule, *, actor: Any) -> None:
    """With a budget goes what it has counted."""
    _check_may_change(rule, actor)
    services.remove(rule, actor=actor)


def may_set(subject: Subject, member: Any) -> bool:
    """Whether a member may give it a budget or a limit. At most one query."""
    if may(role_of(member, subject.tenant), Right.MANAGE_BUDGETS):
        return True
    return (
        isinstance(subject, Key) and subject.user_id == member.pk and may(role_of(member, subject.tenant), Right.CALL)
    )


def may_change(rule: Rule, member: Any) -> bool:
    """Whether a member may change or remove it. At most three queries."""
    if getattr(member, "is_superuser", False):
        return bool(member.is_active)
    tenant = home_of(rule)
    if tenant is None:
        return False
    if may(role_of(member, tenant), Right.MANAGE_BUDGETS):
        return True
    return rule.key is not None and may_set(rule.key, member) and audit.is_work_of(rule, member)


def home_of(rule: Rule) -> Tenant | None:
    """The tenant whose members may manage it; None: an operator's, such as a tenant's own."""
    if rule.key is not None:
        return rule.key.tenant
    if rule.project is not None:
        return rule.project.tenant
    return rule.tenant if rule.user_id is not None else None


def budgets_of(member: Any, tenant: Tenant, *, role: Role | None = None) -> QuerySet[Budget]:
    """See `rules_of`."""
    return rules_of(Budget, member, tenant, role=role)


def rules_of(
    kind: type[Budget] | type[Limit], member: Any, tenant: Tenant, *, role: Role | None = None
) -> QuerySet[Any]:
    """The limits or budgets that a member may see: all within the tenant, or those that restrain their own calls.
    `role`: theirs, where it is known; else one query asks for it."""
    role = role or role_of(member, tenant)
    if role is None:
        return kind.objects.none()
    wide = Q(tenant=tenant, user=None)
    if may(role, Right.SEE_ALL_USAGE):
        within = wide | Q(project__tenant=tenant) | Q(key__tenant=tenant) | Q(user__isnull=False, tenant=tenant)
        return kind.objects.filter(within)
    own = Key.objects.filter(tenant=tenant, user=member)
    mine = Q(user=member) & (Q(tenant=None) | Q(tenant=tenant))
    theirs = wide | mine | Q(key__in=own.values("pk")) | Q(project__in=own.values("project"))
    return kind.objects.filter(theirs)


def above(kind: type[Budget] | type[Limit], rule: Rule) -> QuerySet[Any]:
    """What the subject of a project's, a member's or a key's rule stands under anyway."""
    tenant = home_of(rule)
    found = Q(tenant=tenant, user=None, model=None)
    user_id = rule.user_id
    if rule.key is not None:
        found |= Q(project=rule.key.project_id)
        user_id = rule.key.user_id
    if user_id is not None:
        found |= Q(user=user_id) & (Q(tenant=None) if rule.user_id is not None else Q(tenant=None) | Q(tenant=tenant))
    return kind.objects.filter(found, is_enabled=True)


def _columns(subject: Subject) -> dict[str, Any]:
    if isinstance(subject, Membership):
        return {"user": subject.user, "tenant": subject.tenant}
    return {"key": subject} if isinstance(subject, Key) else {"project": subject}


def _check_names(given: Mapping[str, Any], known: frozenset[str]) -> None:
    if others := set(given) - known:
        raise TypeError(f"not set here: {', '.join(sorted(others))}")


def _check_may_set(subject: Subject, actor: Any) -> None:
    if not may_set(subject, actor):
        raise PermissionDenied("You may set limits and budgets of your own keys only.")


def _check_may_change(rule: Rule, actor: Any) -> None:
    if not may_change(rule, actor):
        raise PermissionDenied("Somebody else has set this: you may set a lower one beside it.")


def _check_budget(budget: Budget) -> None:
    if not budget.is_enabled:
        return
    today = _today(budget)
    if budget.ends_on is not None and budget.ends_on < today:
        raise ValidationError({"ends_on": "This day has passed."})
    wider_ones = above(Budget, budget).filter(period__in=_LONGER[Period(budget.period)])
    for wider in wider_ones.exclude(ends_on__lt=today).order_by("amount"):
        told = f"The {wider.get_period_display().lower()} budget of the {wider.scope} is {money.text(wider.amount)}."
        if budget.amount > wider.amount:
            raise ValidationError({"amount": told})
        if budget.amount + budget.overdraft > wider.amount + wider.overdraft:
            raise ValidationError({"overdraft": f"{told[:-1]}, and {money.text(wider.overdraft)} beyond it."})


def _check_limit(limit: Limit) -> None:
    if not limit.is_enabled:
        return
    errors: dict[str, str] = {}
    for wider in above(Limit, limit):
        for name in ALLOWANCES:
            mine, most = getattr(limit, name), getattr(wider, name)
            if mine is not None and most is not None and mine > most:
                errors[name] = f"The limit of the {wider.scope} is {most:,}."
    if errors:
        raise ValidationError(errors)


def _today(budget: Budget) -> Any:
    tenant = home_of(budget)
    zone = budget.timezone or (tenant.timezone if tenant is not None else "UTC")
    return timezone.now().astimezone(zoneinfo.ZoneInfo(zone)).date()
