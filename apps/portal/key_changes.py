"""Keys: made, changed, rotated and revoked. A secret is shown once, on a page of its own."""

from __future__ import annotations

import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.keys import handover, selectors, selfservice
from apps.portal import snippets
from apps.portal.forms import TypedForm
from apps.portal.key_forms import EditKeyForm, NewKeyForm, RotateForm
from apps.portal.keys import wanted
from apps.portal.visits import Visit, page
from apps.quotas import selfservice as restraints
from apps.tenants.rights import Right


@page("GET", "HEAD", "POST", right=Right.CALL)
def new(visit: Visit) -> HttpResponse:
    form = NewKeyForm(visit.request.POST or None, visit=visit, initial=_asked_for(visit.request))
    if visit.request.method == "POST" and form.is_valid():
        try:
            issued = restraints.issue_key(
                actor=visit.user, tenant=visit.tenant, user=form.user, **form.scope, **form.restraints
            )
        except ValidationError as error:
            form.refuse(error, names={"amount": "budget", "user": "owner"})
        else:
            return _hand_over(visit, issued, title="Key made")
    return visit.show("portal/key_new.html", form=form, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.CALL)
def edit(visit: Visit, key: int) -> HttpResponse:
    row = wanted(visit, key)
    if not selectors.works(row, now=timezone.now()):
        messages.warning(visit.request, "A key that has ended stays as it was.")
        return redirect(visit.url("keys-one", key=row.pk))
    form = EditKeyForm(visit.request.POST or None, visit=visit, key=row)
    if visit.request.method == "POST" and form.is_valid():
        try:
            selfservice.update(row, actor=visit.user, **form.changes)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Saved. Every gateway knows within two seconds.")
            return redirect(visit.url("keys-one", key=row.pk))
    return visit.show("portal/key_edit.html", form=form, key=row, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.CALL)
def rotate(visit: Visit, key: int) -> HttpResponse:
    row = wanted(visit, key)
    form = RotateForm(visit.request.POST or None)
    if visit.request.method == "POST" and form.is_valid():
        overlap = datetime.timedelta(hours=int(form.cleaned_data["overlap"]))
        try:
            issued = selfservice.rotate(row, actor=visit.user, overlap=overlap)
        except ValidationError as error:
            form.refuse(error)
        else:
            return _hand_over(visit, issued, title="Key rotated")
    return visit.show("portal/key_rotate.html", form=form, key=row, status=_status(form))


@page("GET", "HEAD", "POST")
def revoke(visit: Visit, key: int) -> HttpResponse:
    row = wanted(visit, key)
    form = TypedForm(visit.request.POST or None, word=row.name, verb="revoke it")
    if visit.request.method == "POST" and form.is_valid():
        selfservice.revoke(row, actor=visit.user)
        messages.success(visit.request, f"{row.name} is revoked; every gateway refuses it within two seconds.")
        return redirect(visit.url("keys-one", key=row.pk))
    return visit.show("portal/key_revoke.html", form=form, key=row, status=_status(form))


@page()
def issued(visit: Visit, key: int) -> HttpResponse:
    """The only page that ever holds the secret, the first time that it is looked at. It is not cached."""
    row = wanted(visit, key)
    shown = handover.receive(visit.request, key_id=row.pk)
    lines = snippets.tabs(key=shown.plaintext) if shown is not None else []
    response = visit.show("portal/key_issued.html", key=row, shown=shown, tabs=lines, may_rotate=visit.may(Right.CALL))
    response["Cache-Control"] = "no-store"
    if shown is not None:
        handover.forget(response, page=visit.request.path)
    return response


def _hand_over(visit: Visit, issued: Any, *, title: str) -> HttpResponse:
    return handover.send(visit.request, issued, title=title, page=visit.url("keys-issued", key=issued.key.pk))


def _asked_for(request: HttpRequest) -> dict[str, Any]:
    """What a link to the form may fill in."""
    given = {name: request.GET[name][:100] for name in ("name", "project") if name in request.GET}
    models = request.GET.getlist("model")
    return given | ({"models": models} if models else {})


def _status(form: Any) -> int:
    return 422 if form.is_bound and form.errors else 200
