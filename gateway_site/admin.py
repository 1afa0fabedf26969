"""The operator's console: Unfold's site under Weir's name."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from unfold.sites import UnfoldAdminSite


class Autocomplete(AutocompleteJsonView):
    """Choices are called what their own pages call them."""

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        result: dict[str, str] = super().serialize_result(obj, to_field_name)
        label = getattr(self.model_admin, "label", str)
        return result | {"text": label(obj)}


def locked(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Too many wrong passwords; axes asks for the page."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    page = render(request, "admin/locked.html", {**admin.site.each_context(request), "minutes": minutes}, status=429)
    page["Retry-After"] = str(minutes * 60)
    return page


class WeirAdminSite(UnfoldAdminSite):
    site_title = "Weir"
    site_header = "Weir"
    index_title = "Overview"

    def get_urls(self) -> list[Any]:
        from gateway_site import explaining  # the site is made before the apps are

        return [path("explain/", self.admin_view(explaining.page), name="explain"), *super().get_urls()]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        return Autocomplete.as_view(admin_site=self)(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """One's own, through the service, so that it is recorded."""
        from apps.accounts.forms import OwnPasswordForm  # the site is made before the apps are

        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse("admin:password_change_done"),
            template_name="registration/password_change_form.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)
