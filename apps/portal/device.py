"""Where a person lets a program in that shows a code: what it is, for which project it may call, yes or no.

The code in an address is filled in and never sent by itself: whoever sends somebody a link must not be let in by a
click (RFC 8628 §5.4).
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.keys import grants
from apps.portal.forms import PortalForm
from apps.portal.visits import at_all_of_theirs

MOST_TRIES = 10
TRIES_SECONDS = 600


class CodeForm(PortalForm):
    user_code = forms.CharField(
        label="Code",
        max_length=20,
        help_text="The program shows it: eight letters.",
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}),
    )


class ProjectForm(PortalForm):
    """One of the projects that the person may call for, by tenant."""

    project = forms.ChoiceField(label="For the project", help_text="Its budgets and limits hold, and yours.")

    def __init__(self, *args: Any, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.projects = {str(project.pk): project for project in grants.open_to(user)}
        tenants: dict[str, list[tuple[str, str]]] = {}
        for key, project in self.projects.items():
            tenants.setdefault(str(project.tenant), []).append((key, project.name))
        unchosen = [("", "Choose …")] if len(self.projects) > 1 else []
        self.fields["project"].choices = [*unchosen, *tenants.items()]  # type: ignore[attr-defined]

    def clean_project(self) -> Any:
        return self.projects[self.cleaned_data["project"]]


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@at_all_of_theirs
def device(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _ask(request, CodeForm(initial={"user_code": _shown(request.GET.get("user_code", ""))}))
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _ask(request, form, status=422)
    if _tries(request) >= MOST_TRIES:
        form.add_error("user_code", "Too many wrong codes. Try again in ten minutes.")
        return _ask(request, form, status=429)
    waiting = grants.awaited(form.cleaned_data["user_code"])
    if waiting is None:
        _count(request)
        form.add_error("user_code", "No program waits under this code. Codes are good for ten minutes.")
        return _ask(request, form, status=422)
    return _decide(request, waiting)


def _decide(request: HttpRequest, waiting: Any) -> HttpResponse:
    decision = request.POST.get("decision")
    form = ProjectForm(request.POST if decision == "approve" else None, user=request.user)
    try:
        if decision == "deny":
            grants.deny(waiting, actor=request.user)
            return _page(request, "denied", waiting=waiting)
        if decision == "approve" and form.is_valid():
            grant = grants.approve(waiting, actor=request.user, project=form.cleaned_data["project"])
            return _page(request, "approved", waiting=waiting, grant=grant)
    except (ValidationError, PermissionDenied) as refused:
        form.add_error(None, getattr(refused, "messages", str(refused)))
    return _page(request, "decide", waiting=waiting, form=form, status=422 if form.errors else 200)


def _ask(request: HttpRequest, form: CodeForm, *, status: int = 200) -> HttpResponse:
    return _page(request, "ask", form=form, status=status)


def _page(request: HttpRequest, name: str, *, status: int = 200, **context: Any) -> HttpResponse:
    return render(request, f"programs/{name}.html", context, status=status)


def _shown(code: str) -> str:
    """As programs show it."""
    letters = "".join(letter for letter in code.upper() if letter in grants.LETTERS)[: grants.CODE_LENGTH]
    return f"{letters[:4]}-{letters[4:]}" if len(letters) == grants.CODE_LENGTH else ""


def _name(request: HttpRequest) -> str:
    return f"device-tries-{request.user.pk}"


def _tries(request: HttpRequest) -> int:
    """Wrong codes of this person lately, as far as this process knows."""
    return int(cache.get(_name(request), 0))


def _count(request: HttpRequest) -> None:
    cache.add(_name(request), 0, TRIES_SECONDS)
    cache.incr(_name(request))
