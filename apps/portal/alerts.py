"""Alerts: what is watched, where it is told, and what has been told so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect

from apps.alerts import outbox, services
from apps.alerts.kinds import FOR_TENANTS
from apps.portal.alert_forms import DestinationForm, RuleForm
from apps.portal.paging import part
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right

DELIVERY_TONES = {"sent": "good", "pending": "warn", "given_up": "bad"}
KINDS = dict(FOR_TENANTS)


@page(right=Right.MANAGE_ALERTS)
def alerts(visit: Visit) -> HttpResponse:
    found = part(visit.request, services.alerts_of(visit.tenant))
    told = services.deliveries_of(found.rows)
    places = list(services.destinations_of(visit.tenant))
    last = services.last_deliveries(places[:20])
    return visit.show(
        "portal/alerts.html",
        part=found,
        rows=[{"alert": alert, "told": [_told(each) for each in told.get(alert.pk, [])]} for alert in found.rows],
        rules=services.rules_of(visit.tenant),
        destinations=[
            {"place": place, "last": _told(last[place.pk]) if place.pk in last else None} for place in places
        ],
        zone=visit.tenant.timezone,
    )


@page("GET", "HEAD", "POST", right=Right.MANAGE_ALERTS)
def new_rule(visit: Visit) -> HttpResponseBase:
    """First its kind, `?kind=`, then what that needs."""
    kind = visit.request.GET.get("kind", "")
    if kind not in KINDS:
        return visit.show("portal/alert_kinds.html", kinds=FOR_TENANTS)
    form = RuleForm(visit.request.POST or None, visit=visit, kind=kind)
    if visit.request.method == "POST" and form.is_valid():
        try:
            services.create_rule(actor=visit.user, tenant=visit.tenant, kind=kind, **form.values)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "It is watched from now on, once a minute.")
            return redirect(visit.url("alerts"))
    return visit.show("portal/alert_rule.html", form=form, heading=KINDS[kind], rule=None, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.MANAGE_ALERTS)
def rule(visit: Visit, rule: int) -> HttpResponseBase:
    row = _wanted(services.rules_of(visit.tenant), rule)
    form = RuleForm(visit.request.POST or None, visit=visit, kind=row.kind, rule=row)
    if visit.request.method == "POST" and form.is_valid():
        try:
            services.update_rule(row, actor=visit.user, **form.values)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Saved.")
            return redirect(visit.url("alerts"))
    return visit.show("portal/alert_rule.html", form=form, heading=row.name, rule=row, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.MANAGE_ALERTS)
def new_destination(visit: Visit) -> HttpResponseBase:
    """A webhook's secret is shown in the answer, and nowhere else again."""
    form = DestinationForm(visit.request.POST or None)
    if visit.request.method == "POST" and form.is_valid():
        try:
            made = services.create_destination(actor=visit.user, tenant=visit.tenant, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            return _made(visit, made)
    return visit.show("portal/destination.html", form=form, destination=None, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.MANAGE_ALERTS)
def destination(visit: Visit, destination: int) -> HttpResponseBase:
    row = _wanted(services.destinations_of(visit.tenant), destination)
    form = DestinationForm(visit.request.POST or None, destination=row)
    if visit.request.method == "POST" and form.is_valid():
        try:
            services.update_destination(row, actor=visit.user, **form.values)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Saved.")
            return redirect(visit.url("alerts"))
    return visit.show("portal/destination.html", form=form, destination=row, status=_status(form))


@page("POST", right=Right.MANAGE_ALERTS)
def test(visit: Visit, destination: int) -> HttpResponseBase:
    """Sends at once, and says what came of it."""
    row = _wanted(services.destinations_of(visit.tenant), destination)
    delivery = outbox.send_test(row)
    say: Callable[..., None] = messages.success if delivery.state == "sent" else messages.error
    say(visit.request, f"{row}: {delivery.outcome}.")
    return redirect(visit.url("alerts"))


@page("POST", right=Right.MANAGE_ALERTS)
def rotate(visit: Visit, destination: int) -> HttpResponseBase:
    row = _wanted(services.destinations_of(visit.tenant), destination)
    try:
        return _made(visit, services.rotate_secret(row, actor=visit.user))
    except ValidationError as error:
        messages.error(visit.request, " ".join(error.messages))
        return redirect(visit.url("alerts"))


@page("POST", right=Right.MANAGE_ALERTS)
def remove_rule(visit: Visit, rule: int) -> HttpResponseBase:
    services.remove_rule(_wanted(services.rules_of(visit.tenant), rule), actor=visit.user)
    messages.success(visit.request, "It is not watched any more; its history is gone.")
    return redirect(visit.url("alerts"))


@page("POST", right=Right.MANAGE_ALERTS)
def remove_destination(visit: Visit, destination: int) -> HttpResponseBase:
    services.remove_destination(_wanted(services.destinations_of(visit.tenant), destination), actor=visit.user)
    messages.success(visit.request, "Nothing is sent there any more.")
    return redirect(visit.url("alerts"))


def _made(visit: Visit, made: services.Made) -> HttpResponseBase:
    if made.secret is None:
        messages.success(visit.request, f"{made.destination} is there. Send a test, and let rules tell it.")
        return redirect(visit.url("alerts"))
    response = visit.show("portal/destination_secret.html", destination=made.destination, secret=made.secret)
    response["Cache-Control"] = "no-store"
    return response


def _wanted(rows: Any, pk: int) -> Any:
    row = rows.select_related("tenant").filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such thing here.")
    return row


def _told(delivery: Any) -> dict[str, Any]:
    return {"delivery": delivery, "tone": DELIVERY_TONES[delivery.state]}


def _status(form: Any) -> int:
    return 422 if form.is_bound and form.errors else 200
