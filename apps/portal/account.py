"""One's own account: how one signs in, and where one is signed in."""

from __future__ import annotations

from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.portal.entrance import CodeForm
from apps.portal.forms import PortalForm
from apps.portal.visits import at_all_of_theirs
from apps.runtime import walls
from apps.signin import entering, guessing, second_factors, selectors


def _password(label: str, *, autocomplete: str, **more: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, max_length=4096, strip=False, widget=widget, **more)


class PasswordForm(PortalForm):
    old = _password("Password until now", autocomplete="current-password")
    new = _password("New password", autocomplete="new-password", help_text="At least twelve characters.")
    again = _password("New password again", autocomplete="new-password")

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.POST or None)
        self.request = request

    def clean_old(self) -> str:
        """A wrong one counts as it does at sign-in: a session that somebody left open is no place to guess."""
        old: str = self.cleaned_data["old"]
        with walls.as_installation():
            user = guessing.authenticate(self.request, username=self.request.user.get_username(), password=old)
        if user is None:
            raise ValidationError("This is not your password.")
        return old

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("new"):
            raise ValidationError("The two are not the same.")
        return again


class AppCodeForm(CodeForm):
    code = forms.CharField(
        label="Code",
        max_length=20,
        help_text="The six digits that the app shows now.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )


@never_cache
@login_required
@require_safe
@at_all_of_theirs
def account(request: HttpRequest) -> HttpResponseBase:
    linked = list(identities.of(request.user))
    names = selectors.provider_names({row.issuer for row in linked})
    return render(
        request,
        "account/account.html",
        {
            "identities": [(row, names.get(row.issuer, row.issuer)) for row in linked],
            "connectable": [row for row in selectors.providers_of(request.user) if row.issuer not in names],
            "has_second_factor": selectors.has_second_factor(request.user),
            "codes_left": selectors.recovery_codes_left(request.user),
            "needs_second_factor": selectors.needs_second_factor(request.user),
        },
    )


@never_cache
@sensitive_post_parameters("old", "new", "again")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@at_all_of_theirs
def password(request: HttpRequest) -> HttpResponseBase:
    """Everybody who has one. All other sessions end with the old one."""
    user: Any = request.user
    if not user.has_usable_password():
        raise Http404("There is no password to change.")
    form = PasswordForm(request)
    if request.method == "POST" and form.is_valid():
        try:
            accounts.set_password(user, actor=user, password=form.cleaned_data["new"])
        except ValidationError as refusal:
            form.add_error("new", refusal)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "Your password has been changed.")
            return redirect("account")
    return render(request, "account/password.html", {"form": form})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@at_all_of_theirs
def second_factor(request: HttpRequest) -> HttpResponseBase:
    """Sets one up; of somebody who has one, what can be done about it."""
    user: Any = request.user
    if selectors.has_second_factor(user):
        return redirect("account")
    form = AppCodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            codes = second_factors.confirm(user, code=form.cleaned_data["code"])
        except ValidationError as refusal:
            form.add_error("code", refusal)
        else:
            _go_on(request)
            request.session[entering.PROVEN] = True
            return render(request, "account/recovery_codes.html", {"codes": codes, "is_new": True})
    enrolment = second_factors.begin(user)
    picture = segno.make(enrolment.uri, error="m").svg_data_uri(scale=4, border=2, dark="#000", light="#fff")
    secret = " ".join(enrolment.secret[at : at + 4] for at in range(0, len(enrolment.secret), 4))
    is_required = selectors.needs_second_factor(user) and not request.session.get(entering.PROVEN)
    told = {"form": form, "picture": picture, "secret": secret, "is_required": is_required}
    return render(request, "account/second_factor.html", told)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@at_all_of_theirs
def recovery_codes(request: HttpRequest) -> HttpResponseBase:
    """Other ones."""
    form = _code_form(request)
    if request.method == "POST" and form.is_valid():
        try:
            codes = second_factors.renew_codes(request.user, code=form.cleaned_data["code"])
        except ValidationError as refusal:
            form.add_error("code", refusal)
        else:
            return render(request, "account/recovery_codes.html", {"codes": codes, "is_new": False})
    return render(request, "account/renew_codes.html", {"form": form})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@at_all_of_theirs
def remove_second_factor(request: HttpRequest) -> HttpResponseBase:
    form = _code_form(request)
    if request.method == "POST" and form.is_valid():
        try:
            second_factors.give_up(request.user, code=form.cleaned_data["code"])
        except ValidationError as refusal:
            form.add_error("code", refusal)
        else:
            _go_on(request)
            request.session[entering.PROVEN] = False
            messages.success(request, "Your second factor has been removed.")
            return redirect("account")
    return render(request, "account/remove_second_factor.html", {"form": form})


@login_required
@require_POST
@at_all_of_theirs
def sign_out_everywhere(request: HttpRequest) -> HttpResponseBase:
    """But here."""
    accounts.end_sessions(request.user, actor=request.user)  # type: ignore[arg-type]
    _go_on(request)
    messages.success(request, "All your other sessions have ended.")
    return redirect("account")


@login_required
@require_POST
@at_all_of_theirs
def disconnect(request: HttpRequest, identity: int) -> HttpResponseBase:
    """Whoever has no password keeps the last way in."""
    user: Any = request.user
    found = list(identities.of(user))
    row = next((row for row in found if row.pk == identity), None)
    if row is None:
        raise Http404("There is no such identity.")
    if len(found) == 1 and not user.has_usable_password():
        messages.error(request, "This is the only way in that you have, so it stays.")
    else:
        identities.unlink(row, actor=user)
        messages.success(request, f"{row.issuer} does not open your account any more.")
    return redirect("account")


def _code_form(request: HttpRequest) -> CodeForm:
    """Raises Http404 for whoever has no second factor."""
    if not selectors.has_second_factor(request.user):
        raise Http404("There is no second factor.")
    return CodeForm(request.POST or None)


def _go_on(request: HttpRequest) -> None:
    """This session outlives the others."""
    user: Any = request.user
    user.refresh_from_db()
    update_session_auth_hash(request, user)
