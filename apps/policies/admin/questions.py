"""The page of the questions that are remembered to be compared. It shows how many, and never what they were."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from unfold.decorators import action

from apps.audit import cells
from apps.domain import money
from apps.policies import compared, services
from apps.policies.models import CachePolicy
from apps.tenants.models import Tenant

_VIEW = "policies_cachepolicy_questions"


@method_decorator(never_cache, name="questions_view")
class Questions:
    """The part of the cache policies' page that shows and throws away what is remembered."""

    admin_site: Any
    opts: Any
    actions_list = ["questions"]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.questions_view)
        return [path("questions/", view, name=_VIEW), *super().get_urls()]  # type: ignore[misc]

    @action(description="Compared questions", icon="join_inner", permissions=["view"])
    def questions(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"admin:{_VIEW}"))

    def questions_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        may_change: bool = self.has_change_permission(request)  # type: ignore[attr-defined]
        if request.method == "POST":
            if not may_change:
                raise PermissionDenied
            return _forget(request)
        told = compared.told()
        sees_tenants = request.user.has_perm("tenants.view_tenant")
        shown = [_shown(row, sees_tenants=sees_tenants) for row in told.rows]
        held = [row.held for row in told.rows]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Compared questions",
            "told": told,
            "rows": shown,
            "may_change": may_change,
            "count": f"{sum(one.count for one in held):,}",
            "hits": f"{sum(one.hits for one in held):,}",
            "saved": money.text(sum(one.saved for one in held)),
            "size": _size(sum(one.size for one in held)),
        }
        return TemplateResponse(request, "admin/policies/questions.html", context)


def _forget(request: HttpRequest) -> HttpResponse:
    """With the answers, those to equal questions too."""
    if "tenant" in request.POST:
        tenant = get_object_or_404(Tenant, pk=_number(request.POST["tenant"]))
        services.forget_tenant(tenant, actor=request.user)
    else:
        policy = get_object_or_404(CachePolicy, pk=_number(request.POST.get("policy", "")))
        services.forget_answers(policy, actor=request.user)
    messages.success(request, "Thrown away. Gateways heed it within a second or so.")
    return HttpResponseRedirect(reverse(f"admin:{_VIEW}"))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def _shown(row: compared.Remembered, *, sees_tenants: bool) -> dict[str, Any]:
    held, tenant, policy = row.held, row.tenant, row.policy
    name = str(tenant) if tenant is not None else "a tenant that is gone"
    return {
        "tenant": name if sees_tenants else f"tenant {held.tenant}",
        "tenant_id": held.tenant if tenant is not None else None,
        "policy": str(policy) if policy is not None else "a policy that is gone",
        "policy_id": policy.pk if policy is not None else None,
        "model": row.model,
        "count": f"{held.count:,}",
        "size": _size(held.size),
        "newest": cells.ago(datetime.fromtimestamp(held.newest, UTC)),
        "oldest": cells.ago(datetime.fromtimestamp(held.oldest, UTC)),
        "hits": f"{held.hits:,}",
        "saved": money.text(held.saved),
    }


def _size(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB" if count >= 1_000_000 else f"{count / 1_000:.1f} kB"
