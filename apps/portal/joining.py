"""Accepting an invitation: by whoever has the address signed in, or with a new account of that address."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.portal.forms import PortalForm
from apps.runtime import walls
from apps.tenants import invitations

PASSWORDS = "django.contrib.auth.backends.ModelBackend"


class AccountForm(PortalForm):
    username = forms.CharField(label="User name", max_length=150, widget=forms.TextInput({"autocomplete": "username"}))
    first_name = forms.CharField(max_length=150, required=False)
    last_name = forms.CharField(max_length=150, required=False)
    password = forms.CharField(
        max_length=1_000, strip=False, widget=forms.PasswordInput({"autocomplete": "new-password"})
    )


@walls.as_installation()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponseBase:
    """Whoever has an account of the address signs in first. What is good no longer looks like what never was."""
    found = invitations.presented(token)
    if found is None:
        return render(request, "portal/invitation_gone.html", status=404)
    user: Any = request.user
    if user.is_authenticated:
        return _accept(request, found) if request.method == "POST" else _show(request, found)
    if invitations.has_account(found):
        return redirect_to_login(request.get_full_path()) if request.method == "POST" else _show(request, found)
    form = AccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            joined = invitations.join(found, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error if hasattr(error, "error_dict") else ValidationError({"password": error}))
        else:
            login(request, joined, backend=PASSWORDS)
            return _welcome(request, found)
    return _show(request, found, form=form)


def _accept(request: HttpRequest, found: Any) -> HttpResponseBase:
    try:
        invitations.accept(found, user=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return _show(request, found, status=409)
    return _welcome(request, found)


def _welcome(request: HttpRequest, found: Any) -> HttpResponseBase:
    messages.success(request, f"Welcome to {found.tenant}.")
    return redirect("portal:overview", tenant=found.tenant.slug)


def _show(request: HttpRequest, found: Any, *, form: Any = None, status: int = 200) -> HttpResponseBase:
    user: Any = request.user
    email = getattr(user, "email", "")
    context = {
        "invitation": found,
        "form": form,
        "is_theirs": bool(email) and email.casefold() == found.email.casefold(),
        "sign_in": redirect_to_login(request.get_full_path()).url,
    }
    if form is not None and form.errors:
        status = 422
    return render(request, "portal/invitation.html", context, status=status)
