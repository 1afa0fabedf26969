"""Members and the invited: seen by all members, changed by whoever manages them and within their own role."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone

from apps.keys import selectors as keys
from apps.portal import letters
from apps.portal.forms import PortalForm, TypedForm
from apps.portal.paging import part
from apps.portal.visits import Visit, page
from apps.tenants import invitations, selectors, selfservice
from apps.tenants.rights import ROLES, Right, may_give
from apps.usage import selectors as usage

DAYS = 30
TONES = {"owner": "good", "admin": "good"}


class RoleForm(PortalForm):
    """The roles that the visitor may give."""

    role = forms.ChoiceField(widget=forms.RadioSelect)

    def __init__(self, *args: Any, visit: Visit, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["role"]
        field.choices = [(role, f"{role.label}: {told}") for role, told in ROLES.items() if may_give(visit.role, role)]


class InvitationForm(RoleForm):
    email = forms.EmailField(label="E-mail address", max_length=254)
    field_order = ("email", "role")


@page()
def members(visit: Visit) -> HttpResponse:
    now = timezone.now()
    found = part(visit.request, selectors.members(visit.tenant), ordering=("id",))
    people = [row.user_id for row in found.rows]
    manages, sees_all = visit.may(Right.MANAGE_MEMBERS), visit.may(Right.SEE_ALL_USAGE)
    spent: dict[int, int] = {}
    if sees_all:
        spent = usage.spent_by("user_id", now, days=DAYS, tenant_id=visit.tenant.pk, user_id__in=people)
    used = keys.last_uses(visit.tenant, users=people) if manages else {}
    return visit.show(
        "portal/members.html",
        part=found,
        rows=[
            {
                "member": row,
                "tone": TONES.get(row.role, "soft"),
                "used": used.get(row.user_id),
                "spent": spent.get(row.user_id, 0),
                "may_change": may_give(visit.role, row.role),
                "is_self": row.user_id == visit.user.pk,
            }
            for row in found.rows
        ],
        invitations=invitations.open_of(visit.tenant) if manages else [],
        manages=manages,
        sees_all=sees_all,
        days=DAYS,
    )


@page("GET", "HEAD", "POST", right=Right.MANAGE_MEMBERS)
def invite(visit: Visit) -> HttpResponse:
    """The link is shown in the answer, and nowhere else again."""
    form = InvitationForm(visit.request.POST or None, visit=visit, initial={"role": "developer"})
    if visit.request.method == "POST" and form.is_valid():
        try:
            invited = invitations.invite(visit.tenant, actor=visit.user, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            link = letters.link_of(visit.request, invited.token)
            is_sent = letters.send(invited.invitation, link=link)
            response = visit.show("portal/invited.html", invitation=invited.invitation, link=link, is_sent=is_sent)
            response["Cache-Control"] = "no-store"
            return response
    return visit.show("portal/invite.html", form=form, status=_status(form))


@page("POST", right=Right.MANAGE_MEMBERS)
def withdraw(visit: Visit, invitation: int) -> HttpResponseBase:
    row = next((row for row in invitations.open_of(visit.tenant) if row.pk == invitation), None)
    if row is None:
        raise Http404("There is no such invitation.")
    invitations.withdraw(row, actor=visit.user)
    messages.success(visit.request, f"The invitation of {row.email} is withdrawn.")
    return redirect(visit.url("members"))


@page("GET", "HEAD", "POST", right=Right.MANAGE_MEMBERS)
def one(visit: Visit, member: int) -> HttpResponseBase:
    row = _changeable(visit, member)
    form = RoleForm(visit.request.POST or None, visit=visit, initial={"role": row.role})
    if visit.request.method == "POST" and form.is_valid():
        try:
            selfservice.change_role(row, actor=visit.user, role=form.cleaned_data["role"])
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, f"{row.user} is {ROLE_WITH_ARTICLE[form.cleaned_data['role']]} now.")
            return redirect(visit.url("members"))
    return visit.show("portal/member.html", form=form, member=row, status=_status(form))


@page("GET", "HEAD", "POST", right=Right.MANAGE_MEMBERS)
def remove(visit: Visit, member: int) -> HttpResponseBase:
    row = _changeable(visit, member)
    form = TypedForm(visit.request.POST or None, word=row.user.get_username(), verb="remove them")
    if visit.request.method == "POST" and form.is_valid():
        try:
            selfservice.remove_member(row, actor=visit.user)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, f"{row.user} is no member any more, and their keys here do not work.")
            return redirect(visit.url("members") if row.user_id != visit.user.pk else "portal:home")
    working = keys.count_working(visit.tenant, "user_id", user=row.user_id).get(row.user_id, 0)
    return visit.show("portal/member_remove.html", form=form, member=row, working=working, status=_status(form))


ROLE_WITH_ARTICLE = {"owner": "an owner", "admin": "an admin", "developer": "a developer", "viewer": "a viewer"}


def _changeable(visit: Visit, member: int) -> Any:
    """Raises Http404, and PermissionDenied for one who is above the visitor."""
    row = selectors.members(visit.tenant).filter(pk=member).first()
    if row is None:
        raise Http404("There is no such member.")
    visit.allow(may_give(visit.role, row.role), f"You may not change or remove an {row.get_role_display().lower()}.")
    return row


def _status(form: Any) -> int:
    return 422 if form.is_bound and form.errors else 200
