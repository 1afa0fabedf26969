"""More for a budget until a moment: asked for by whoever stands under it, decided by whoever may set it.

While an increase is approved and not over, gateways lease from the amount and it together. At its end they give back
what they hold and lease from the amount alone: what was spent stays spent, and nothing of it is taken back.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.quotas.models import Budget, Increase
from apps.quotas.selfservice import home_of, rules_of
from apps.tenants.models import Role, Tenant
from apps.tenants.rights import Right, may
from apps.tenants.selectors import role_of

State = Increase.State
LONGEST = datetime.timedelta(days=366)


def request(budget: Budget, *, actor: Any, amount: int, reason: str, until: datetime.datetime) -> Increase:
    """`amount` in nano-USD on top of the budget's. Raises ValidationError, and PermissionDenied for a budget that the
    actor may not see."""
    if not may_request(budget, actor):
        raise PermissionDenied("This budget is not yours to ask more of.")
    if not budget.is_enabled:
        raise ValidationError("This budget has been disabled: it restrains nobody.")
    now = timezone.now()
    if not now < until <= now + LONGEST:
        raise ValidationError({"until": f"Choose a moment within the next {LONGEST.days} days."})
    if not reason.strip():
        raise ValidationError({"reason": "Say what it is for: somebody has to decide."})
    increase = Increase(budget=budget, requested_by=actor, amount=amount, reason=reason.strip(), until=until)
    audit.add(increase, actor=actor, action="increase.requested", area=Area.QUOTAS, tenant_id=_tenant_id(budget))
    return increase


def approve(increase: Increase, *, actor: Any, note: str = "") -> Increase:
    """It is in force within a second. Raises PermissionDenied and ValidationError, as all that follow."""
    _check_may_decide(increase, actor)
    return _decide(increase, actor=actor, state=State.APPROVED, note=note)


def decline(increase: Increase, *, actor: Any, note: str = "") -> Increase:
    _check_may_decide(increase, actor)
    return _decide(increase, actor=actor, state=State.DECLINED, note=note)


def withdraw(increase: Increase, *, actor: Any, note: str = "") -> Increase:
    """Whoever asked takes back what nobody has decided; whoever may decide ends what was approved."""
    if increase.requested_by_id != actor.pk or increase.state != State.REQUESTED:
        _check_may_decide(increase, actor)
    return _decide(increase, actor=actor, state=State.WITHDRAWN, note=note)


def expire(now: datetime.datetime, *, limit: int = 500) -> int:
    """Say of those that are over that they are, each once; return how many. Gateways have gone back by themselves."""
    over = Increase.objects.filter(state__in=[State.REQUESTED, State.APPROVED], until__lte=now)
    done = 0
    for pk in over.order_by("until").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            increase = over.select_for_update(of=("self",)).select_related("budget").filter(pk=pk).first()
            if increase is not None:  # no other worker was first
                _amend(increase, actor=None, action="increase.expired", changes={"state": State.EXPIRED})
                done += 1
    return done


def may_request(budget: Budget, member: Any) -> bool:
    """Whether somebody stands under it, or sees it as one who pays."""
    if member.is_superuser:
        return True
    return any(rules_of(Budget, member, tenant).filter(pk=budget.pk).exists() for tenant in _homes(budget, member))


def may_decide(budget: Budget, member: Any, *, role: Role | None = None) -> bool:
    """Of a tenant's own budget, and of one that is no single tenant's, operators only. `role`: what the member is in
    the budget's tenant, where that is known; else it is one query."""
    if member.is_superuser:
        return bool(member.is_active)
    if member.is_staff and member.has_perm("quotas.change_increase"):  # as an operator has allowed in the admin
        return True
    tenant = home_of(budget)
    return tenant is not None and may(role or role_of(member, tenant), Right.MANAGE_BUDGETS)


def increases_of(member: Any, tenant: Tenant) -> QuerySet[Increase]:
    """Those that somebody may see: their own, or, who manages budgets, all within the tenant. Newest first."""
    found = Increase.objects.filter(budget__in=rules_of(Budget, member, tenant).values("pk"))
    if not may(role_of(member, tenant), Right.MANAGE_BUDGETS):
        found = found.filter(requested_by=member)
    subjects = ("tenant", "project__tenant", "key__tenant", "user", "model", "endpoint")
    return found.select_related(*(f"budget__{name}" for name in subjects), "requested_by")


def deciders(budget: Budget) -> QuerySet[Any]:
    """The people who may decide: the tenant's owners and admins, or the operators."""
    from apps.accounts.models import User
    from apps.tenants.rights import RIGHTS

    tenant = home_of(budget)
    if tenant is None:
        return User.objects.filter(is_active=True, is_superuser=True)
    roles = [role for role, rights in RIGHTS.items() if Right.MANAGE_BUDGETS in rights]
    return User.objects.filter(is_active=True, memberships__tenant=tenant, memberships__role__in=roles)


def _homes(budget: Budget, member: Any) -> list[Tenant]:
    """The tenants by which a member may see it."""
    if (home := home_of(budget) or budget.tenant) is not None:
        return [home]
    return list(Tenant.objects.filter(memberships__user=member)) if budget.user_id == member.pk else []


def _tenant_id(budget: Budget) -> int | None:
    home = home_of(budget) or budget.tenant
    return None if home is None else home.pk


def _check_may_decide(increase: Increase, actor: Any) -> None:
    if not may_decide(increase.budget, actor):
        raise PermissionDenied("Whoever may set this budget decides.")


_FROM = {State.APPROVED: {State.REQUESTED}, State.DECLINED: {State.REQUESTED}}
_OPEN = {State.REQUESTED, State.APPROVED}


def _decide(increase: Increase, *, actor: Any, state: Increase.State, note: str) -> Increase:
    """Once: whoever is second is told."""
    with transaction.atomic():
        stored = Increase.objects.select_for_update(of=("self",)).select_related("budget").get(pk=increase.pk)
        if stored.state not in _FROM.get(state, _OPEN):
            raise ValidationError(f"This has been decided: {stored.get_state_display().lower()}.")
        now = timezone.now()
        if stored.until <= now:
            raise ValidationError("The time that it was asked for is over.")
        changes = {"state": state, "decided_by": actor, "decided_at": now, "note": note.strip()}
        _amend(increase, actor=actor, action=f"increase.{state}", changes=changes)
    return increase


def _amend(increase: Increase, *, actor: Any, action: str, changes: dict[str, Any]) -> None:
    tenant_id = _tenant_id(increase.budget)
    audit.amend(increase, actor=actor, action=action, area=Area.QUOTAS, changes=changes, tenant_id=tenant_id)
