"""Projects: what keys are made for and money is counted by. Members see them, whoever manages projects changes them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone

from apps.keys import selectors as keys
from apps.portal.forms import PortalForm
from apps.portal.visits import Visit, page
from apps.tenants import selectors, selfservice
from apps.tenants.rights import Right
from apps.usage import selectors as usage

DAYS = 30


class ProjectForm(PortalForm):
    name = forms.CharField(max_length=100, help_text="Reports and budgets call it so.")


@page()
def projects(visit: Visit) -> HttpResponse:
    """Whoever may not see all usage sees what they have spent there themselves."""
    sees_all = visit.may(Right.SEE_ALL_USAGE)
    whose: dict[str, Any] = {"tenant_id": visit.tenant.pk} if sees_all else {"user_id": visit.user.pk}
    spent = usage.spent_by("project_id", timezone.now(), days=DAYS, **whose)
    working = keys.count_working(visit.tenant, "project_id", **({} if sees_all else {"user": visit.user.pk}))
    return visit.show(
        "portal/projects.html",
        rows=[
            {"project": row, "spent": spent.get(row.pk, 0), "keys": working.get(row.pk, 0)}
            for row in selectors.projects_of(visit.tenant)
        ],
        days=DAYS,
        sees_all=sees_all,
        manages=visit.may(Right.MANAGE_PROJECTS),
    )


@page("GET", "HEAD", "POST", right=Right.MANAGE_PROJECTS)
def new(visit: Visit) -> HttpResponseBase:
    form = ProjectForm(visit.request.POST or None)
    if visit.request.method == "POST" and form.is_valid():
        try:
            made = selfservice.create_project(visit.tenant, actor=visit.user, name=form.cleaned_data["name"])
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, f"{made} is there. Make a key for it, or give it a budget.")
            return redirect(visit.url("projects"))
    return visit.show("portal/project_new.html", form=form, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.MANAGE_PROJECTS)
def one(visit: Visit, project: int) -> HttpResponseBase:
    row = _wanted(visit, project)
    form = ProjectForm(visit.request.POST or None, initial={"name": row.name})
    if visit.request.method == "POST" and form.is_valid():
        try:
            selfservice.rename_project(row, actor=visit.user, name=form.cleaned_data["name"])
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Saved.")
            return redirect(visit.url("projects"))
    working = keys.count_working(visit.tenant, "project_id", project=row.pk).get(row.pk, 0)
    return visit.show("portal/project.html", form=form, project=row, working=working, status=_status(form))


@page("POST", right=Right.MANAGE_PROJECTS)
def switch(visit: Visit, project: int) -> HttpResponseBase:
    """On or off, as the button says; anything else changes nothing."""
    row = _wanted(visit, project)
    wanted = visit.request.POST.get("to")
    if wanted in ("on", "off"):
        selfservice.switch_project(row, actor=visit.user, on=wanted == "on")
        told = "active: its keys work again" if wanted == "on" else "inactive: its keys are refused"
        messages.success(visit.request, f"{row} is {told} within two seconds.")
    return redirect(visit.url("projects"))


def _wanted(visit: Visit, project: int) -> Any:
    row = next((row for row in selectors.projects_of(visit.tenant) if row.pk == project), None)
    if row is None:
        raise Http404("There is no such project.")
    row.tenant = visit.tenant
    return row


def _status(form: Any) -> int:
    return 422 if form.is_bound and form.errors else 200
