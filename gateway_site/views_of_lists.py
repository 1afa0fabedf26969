"""Where saved views of the admin's lists are kept, changed and deleted: their forms stand above the lists."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.accounts import views_of_lists
from apps.accounts.models import SavedView


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    page = _page(request, request.POST.get("page", ""))
    query = request.POST.get("query", "")
    try:
        view = views_of_lists.save(request.user, page=page, query=query, **_said(request))  # type: ignore[arg-type]
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return _back(page)
    messages.success(request, f"Saved as “{view.name}”.")
    return _back(page, view.query)


@require_POST
def change(request: HttpRequest, view_id: int) -> HttpResponse:
    view = get_object_or_404(SavedView, pk=view_id)
    if not views_of_lists.may_change(request.user, view):
        raise Http404
    page = _page(request, view.page)
    if request.POST.get("do") == "delete":
        views_of_lists.delete(view, actor=request.user)
        messages.success(request, f"The view “{view.name}” is gone; the list is as it was.")
        return _back(page)
    try:
        views_of_lists.change(view, actor=request.user, **_said(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return _back(page, view.query)


def _said(request: HttpRequest) -> dict[str, Any]:
    return {"name": request.POST.get("name", ""), "is_shared": "is_shared" in request.POST}


def _page(request: HttpRequest, label: str) -> str:
    """The label of a list that the person may see."""
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        raise Http404 from None
    registered = admin.site._registry.get(model)
    if registered is None or model._meta.label_lower != label:
        raise Http404
    if not registered.has_view_permission(request):
        raise PermissionDenied
    return label


def _back(page: str, query: str = "") -> HttpResponse:
    url = reverse(f"admin:{page.replace('.', '_')}_changelist")
    return HttpResponseRedirect(f"{url}?{query}" if query else url)
