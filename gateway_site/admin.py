"""The operator's console: Unfold's site under Weir's name."""

from __future__ import annotations

import functools
from typing import Any, cast

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth.views import PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class Autocomplete(AutocompleteJsonView):
    """Choices are called what their own pages call them."""

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        result: dict[str, str] = super().serialize_result(obj, to_field_name)
        label = getattr(self.model_admin, "label", str)
        return result | {"text": label(obj)}


class WeirAdminSite(UnfoldAdminSite):
    site_title = "Weir"
    site_header = "Weir"
    index_title = "Overview"

    def get_urls(self) -> list[Any]:
        # The site is made before the apps are.
        from gateway_site import explaining, health_page, transfer, views_of_lists, what_if

        return [
            path("health/", self.admin_view(health_page.page), name="health"),
            path("explain/", self.admin_view(explaining.page), name="explain"),
            path("transfer/", self.admin_view(transfer.page), name="transfer"),
            path("transfer/<slug:name>.<slug:ending>", self.admin_view(transfer.file), name="transfer_file"),
            path("what-if/price/<slug:deployment_id>/", self.admin_view(what_if.price), name="what_if_price"),
            path("what-if/budget/<slug:budget_id>/", self.admin_view(what_if.budget), name="what_if_budget"),
            path("views/", self.admin_view(views_of_lists.save), name="view_save"),
            path("views/<int:view_id>/", self.admin_view(views_of_lists.change), name="view_change"),
            *super().get_urls(),
        ]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Found when somebody looks at it: nearly every page has it in its context, and shows the menu instead."""
        found: Any = SimpleLazyObject(functools.partial(super().get_app_list, request, app_label))
        return cast(list[Any], found)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one page to sign in at. Whoever is signed in, and is here all the same, may not see the admin."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        wanted = request.GET.get("next", reverse("admin:index"))
        return redirect_to_login(wanted)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from apps.portal import entrance  # the site is made before the apps are

        return entrance.sign_out(request)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            found: HttpResponse = super().search(request, extra_context)
        except InvalidPage:
            raise Http404 from None
        return found

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
