"""Budgets: what restrains the visitor's calls, or everybody's in the tenant; more of one is asked for and decided."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone

from apps.domain import money
from apps.portal.budget_forms import AskForm, DecisionForm, EditBudgetForm, NewBudgetForm
from apps.portal.paging import part
from apps.portal.visits import Visit, page
from apps.quotas import bars, increases, selectors, selfservice
from apps.tenants.rights import Right

TONES = {"requested": "warn", "approved": "good", "declined": "bad", "withdrawn": "soft", "expired": "soft"}
VERBS = {"approve": increases.approve, "decline": increases.decline, "withdraw": increases.withdraw}
MOST_ASKED = 20
MOST_TOLD = 3


@page()
def budgets(visit: Visit) -> HttpResponse:
    """Those that the visitor may see, newest first, and what is asked for."""
    now = timezone.now()
    found = part(visit.request, _visible(visit, now).order_by("-pk"))
    asked = increases.increases_of(visit.user, visit.tenant)[:MOST_ASKED]
    manages = visit.may(Right.MANAGE_BUDGETS)
    return visit.show(
        "portal/budgets.html",
        part=found,
        rows=[_row(stand, visit) for stand in selectors.stands(found.rows, now)],
        asked=[_asked(increase, visit, now) for increase in asked],
        manages=manages,
        may_set=manages or visit.may(Right.CALL),
        sees_all=visit.may(Right.SEE_ALL_USAGE),
        zone=visit.tenant.timezone,
    )


@page()
def one(visit: Visit, budget: int) -> HttpResponse:
    now = timezone.now()
    row = _wanted(visit, budget, now)
    asked = increases.increases_of(visit.user, visit.tenant).filter(budget=row)[:MOST_ASKED]
    return visit.show(
        "portal/budget.html",
        budget=row,
        row=_row(selectors.stands([row], now)[0], visit),
        asked=[_asked(increase, visit, now) for increase in asked],
        may_change=selfservice.may_change(row, visit.user),
        zone=row.timezone or visit.tenant.timezone,
    )


@page("GET", "HEAD", "POST")
def new(visit: Visit) -> HttpResponseBase:
    form = NewBudgetForm(visit.request.POST or None, visit=visit, initial={"subject": visit.request.GET.get("for", "")})
    visit.allow(bool(form.subjects), "There is nothing here that you may give a budget.")
    if visit.request.method == "POST" and form.is_valid():
        try:
            made = selfservice.set_budget(form.chosen, actor=visit.user, **form.terms)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, f"{money.text(made.amount)} {made.get_period_display().lower()}: it holds.")
            return redirect(visit.url("budgets-one", budget=made.pk))
    return visit.show("portal/budget_new.html", form=form, status=_status(form))


@page("GET", "HEAD", "POST")
def edit(visit: Visit, budget: int) -> HttpResponseBase:
    row = _changeable(visit, budget)
    form = EditBudgetForm(visit.request.POST or None, budget=row)
    if visit.request.method == "POST" and form.is_valid():
        try:
            selfservice.change_budget(row, actor=visit.user, **form.terms)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Saved. Gateways know within a second.")
            return redirect(visit.url("budgets-one", budget=row.pk))
    return visit.show("portal/budget_edit.html", form=form, budget=row, name=_name(row), status=_status(form))


@page("POST")
def remove(visit: Visit, budget: int) -> HttpResponseBase:
    row = _changeable(visit, budget)
    selfservice.remove(row, actor=visit.user)
    messages.success(visit.request, f"The budget of the {_name(row)} is gone. What was spent stays in the books.")
    return redirect(visit.url("budgets"))


@page("GET", "HEAD", "POST")
def ask(visit: Visit, budget: int) -> HttpResponseBase:
    """For more, for a while."""
    row = _wanted(visit, budget, timezone.now())
    form = AskForm(visit.request.POST or None)
    if visit.request.method == "POST" and form.is_valid():
        try:
            increases.request(row, actor=visit.user, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Asked. You are told when somebody has decided.")
            return redirect(visit.url("budgets-one", budget=row.pk))
    decides = "whoever runs this installation" if selfservice.home_of(row) is None else "an owner or an admin"
    return visit.show(
        "portal/budget_ask.html", form=form, budget=row, name=_name(row), decides=decides, status=_status(form)
    )


@page("POST")
def decide(visit: Visit, increase: int) -> HttpResponseBase:
    """As the button says: approve, decline, withdraw."""
    found = increases.increases_of(visit.user, visit.tenant).filter(pk=increase).first()
    if found is None:
        raise Http404("There is no such request.")
    form, verb = DecisionForm(visit.request.POST), VERBS.get(visit.request.POST.get("to", ""))
    if verb is not None and form.is_valid():
        try:
            verb(found, actor=visit.user, note=form.cleaned_data["note"])
        except ValidationError as error:
            messages.error(visit.request, " ".join(error.messages))
        else:
            messages.success(visit.request, f"{found.get_state_display()}.")
    elif not form.is_valid():
        messages.error(visit.request, "The note is too long.")
    return redirect(visit.url("budgets-one", budget=found.budget_id))


def in_the_way(visit: Visit) -> list[dict[str, Any]]:
    """Budgets that refuse calls by now, of those that the visitor may see. One query, and two more if there are any:
    to put the names' tables in order takes the planner 25 ms, even for none."""
    now = timezone.now()
    mine = selfservice.budgets_of(visit.user, visit.tenant, role=visit.role)
    found = list(bars.nearly_spent(mine, now).order_by("-pk").values_list("pk", flat=True)[:MOST_TOLD])
    rows = _visible(visit, now).filter(pk__in=found).order_by("-pk") if found else []
    return [row for row in (_row(stand, visit) for stand in selectors.stands(rows, now)) if row["is_nearly_spent"]]


def _visible(visit: Visit, now: Any) -> Any:
    found = selfservice.budgets_of(visit.user, visit.tenant, role=visit.role)
    return found.raised_at(now).select_related("tenant", "project__tenant", "key__tenant", "user", "model", "endpoint")


def _wanted(visit: Visit, budget: int, now: Any) -> Any:
    row = _visible(visit, now).filter(pk=budget).first()
    if row is None:
        raise Http404("There is no such budget.")
    return row


def _changeable(visit: Visit, budget: int) -> Any:
    row = _wanted(visit, budget, timezone.now())
    visit.allow(selfservice.may_change(row, visit.user), "Whoever manages budgets, or has set this one, changes it.")
    return row


def _name(budget: Any) -> str:
    """Whose it is, in the tenant's words."""
    if budget.scope == "key":
        return f"key {budget.key.name}"
    return f"{'member' if budget.scope == 'user' else budget.scope} {budget.subject}"


def _row(stand: Any, visit: Visit) -> dict[str, Any]:
    budget = stand.budget
    return {
        "budget": budget,
        "name": _name(budget),
        "amount": budget.in_force,
        "raised": budget.raised,
        "settled": stand.settled,
        "held": stand.held,
        "ends": stand.ends,
        "left": max(0, budget.in_force - stand.settled),
        "is_spent": stand.settled >= budget.in_force,
        "is_nearly_spent": bars.is_nearly_spent(stand.settled, budget.in_force),
        "zone": budget.timezone or visit.tenant.timezone,
    }


def _asked(increase: Any, visit: Visit, now: Any) -> dict[str, Any]:
    is_open = increase.until > now
    decides = increases.may_decide(increase.budget, visit.user, role=visit.role)
    is_own = increase.requested_by_id == visit.user.pk
    requested, approved = (increase.state == word for word in ("requested", "approved"))
    return {
        "increase": increase,
        "name": _name(increase.budget),
        "tone": TONES[increase.state],
        "may_decide": is_open and requested and decides,
        "may_withdraw": is_open and ((requested and is_own) or (approved and decides)),
    }


def _status(form: Any) -> int:
    return 422 if form.is_bound and form.errors else 200
