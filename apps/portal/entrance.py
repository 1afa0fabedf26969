"""How people come in and go: one page for portal and admin, a code where there is a second factor, and out again."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlencode

from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.portal.forms import PortalForm
from apps.runtime import walls
from apps.signin import entering, guessing, oidc, second_factors, selectors

_OF_TENANT = re.compile(r"/t/([\w-]+)/")
PENDING_SECONDS = 300.0  # from the password to the code


class PasswordForm(PortalForm):
    username = forms.CharField(
        label="User name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}),
    )
    password = forms.CharField(
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class CodeForm(PortalForm):
    code = forms.CharField(
        max_length=40,
        help_text="The six digits that your authenticator app shows, or one of your recovery codes.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )


@walls.as_installation()
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponseBase:
    if request.user.is_authenticated:
        return HttpResponseRedirect(wanted(request))
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = guessing.authenticate(request, **form.cleaned_data)
        if user is not None:
            return admit(request, user, wanted=wanted(request))
        form.add_error(None, "This user name and password do not belong together.")
    return render(request, "sign_in/sign_in.html", {"form": form, **_ways(request)})


def _ways(request: HttpRequest) -> dict[str, Any]:
    """Other ways in than a password. Those of a tenant are for whoever names it, or was led away from its pages."""
    tenant = request.GET.get("tenant", "")
    led_from = _OF_TENANT.match(wanted(request))
    rows = selectors.providers_for(tenant or (led_from[1] if led_from else ""))
    led = wanted(request) if "next" in request.GET else ""
    query = "?" + urlencode({"next": led}) if led else ""
    ways = [(row, f"{reverse('sign_in_with', args=[row.slug])}{query}") for row in rows]
    is_unknown = bool(tenant) and not any(row.tenant_id for row in rows)
    return {"ways": ways, "tenant": tenant, "is_unknown": is_unknown, "next": led}


def wanted(request: HttpRequest) -> str:
    """The page that the visitor was led away from, if it is one of this site's; else the first."""
    asked = request.GET.get("next", "")
    allowed = {request.get_host()}
    is_ours = url_has_allowed_host_and_scheme(asked, allowed_hosts=allowed, require_https=request.is_secure())
    if is_ours and asked.startswith("/") and asked.isprintable():
        return asked
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def admit(
    request: HttpRequest, user: Any, *, wanted: str, provider: Any = None, session_name: str = ""
) -> HttpResponseBase:
    """Somebody has shown who they are: in, or on to the code. `provider`: who says so, where it was no password, and
    `session_name` what their session is known by there."""
    proven = provider is not None and provider.is_second_factor
    if proven or not selectors.has_second_factor(user):
        return enter(request, user, wanted=wanted, provider=provider, proven=proven, session_name=session_name)
    if request.user.is_authenticated:
        auth.logout(request)  # one session here is one at a provider: it cannot wait for this code and go on by another
    else:
        request.session.cycle_key()
    request.session[entering.PENDING] = {
        "user": user.pk,
        "hash": user.get_session_auth_hash(),
        "at": time.time(),
        "next": wanted,
        "provider": None if provider is None else provider.pk,
        "session_name": session_name,
    }
    return redirect("sign_in_code")


def enter(
    request: HttpRequest, user: Any, *, wanted: str, provider: Any, proven: bool, session_name: str
) -> HttpResponseBase:
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.pop(entering.PENDING, None)  # until here it is found by that
    request.session[entering.PROVEN] = proven
    request.session[entering.PROVIDER] = None if provider is None else provider.pk
    request.session[entering.PROVIDER_SESSION] = session_name
    return HttpResponseRedirect(wanted)


@walls.as_installation()
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def code(request: HttpRequest) -> HttpResponseBase:
    """Of somebody whose password, or provider, was good a moment ago. What is wrong counts for the lockout."""
    pending = request.session.get(entering.PENDING)
    user = _pending_user(pending)
    if user is None:
        request.session.pop(entering.PENDING, None)
        if pending or request.method == "POST":
            messages.info(request, "That took too long, or you have been signed out. Start again.")
        return redirect("sign_in")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        credentials = {"username": user.get_username()}
        if not AxesProxyHandler.is_allowed(request, credentials):
            return locked(request)
        verdict = second_factors.check(user, code=form.cleaned_data["code"])
        if verdict == "good":
            guessing.spare(request)
            provider = selectors.provider_by_id(pending["provider"])
            known = {"provider": provider, "session_name": pending.get("session_name", "")}
            return enter(request, user, wanted=pending["next"], proven=True, **known)
        if verdict == "wait":
            guessing.spare(request)
        else:
            user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        form.add_error("code", second_factors.message(verdict))
    return render(request, "sign_in/code.html", {"form": form})


def _pending_user(pending: Any) -> Any:
    """None where it was too long ago, or the account has changed meanwhile."""
    if not pending or time.time() - pending["at"] > PENDING_SECONDS:
        return None
    return selectors.person(pending["user"], session_hash=pending["hash"])


@walls.as_installation()
@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """Here. Where a provider let the visitor in that can be left, too, the page leads there: whoever shares a computer
    would be let in again without being asked."""
    provider = selectors.provider_by_id(request.session.get(entering.PROVIDER))
    auth.logout(request)
    away = "" if provider is None else oidc.leaving(provider, back=request.build_absolute_uri(reverse("sign_in")))
    if not away:
        messages.success(request, "You have signed out.")
        return redirect("sign_in")
    return render(request, "sign_in/left.html", {"provider": provider, "away": away})


def locked(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Too many wrong passwords or codes; axes asks for the page."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    page = render(request, "sign_in/locked.html", {"minutes": minutes}, status=429)
    page["Retry-After"] = str(minutes * 60)
    return page
