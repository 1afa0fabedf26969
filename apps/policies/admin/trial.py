"""The page that tries policies on a text. Nothing is sent, kept or logged: the text is in the answer only."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from apps.catalog.models import Model
from apps.keys.models import Key
from apps.policies import trial
from apps.policies.models import DataPolicy

LONGEST = 200_000
MOST_OFFERED = 50
_UNTOUCHED = {"autocomplete": "off", "spellcheck": "false"}


class TrialForm(forms.Form):
    """Of a person who may not see keys without the key."""

    text = forms.CharField(
        label="A text, or a whole request as JSON",
        strip=False,
        max_length=LONGEST,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 10, **_UNTOUCHED}),
    )
    policy = forms.ModelChoiceField(
        DataPolicy.objects.all(),
        label="Under the policy",
        required=False,
        empty_label="Those that hold anyway",
        widget=UnfoldAdminSelectWidget,
    )
    key = forms.CharField(
        label="Key, by its name or beginning",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "keys", "placeholder": "anybody's", **_UNTOUCHED}),
    )
    model = forms.CharField(
        label="Model",
        required=False,
        max_length=120,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "models", "placeholder": "the request's, or any"}),
    )

    def __init__(self, *args: Any, sees_keys: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if not sees_keys:
            del self.fields["key"]

    def clean_key(self) -> Key | None:
        """By what is public of it, though a whole one should be pasted."""
        term = self.cleaned_data["key"]
        if not term:
            return None
        public_id = term.removeprefix("weir_").partition("_")[0].rstrip("…")
        found = Q(name=term)
        if term.startswith("weir_") and public_id:
            found = Q(public_id__startswith=public_id)
        rows = list(Key.objects.filter(found).select_related("tenant", "project")[:2])
        if len(rows) != 1:
            raise ValidationError("There are several: give its beginning." if rows else "There is no such key.")
        return rows[0]


@method_decorator([never_cache, sensitive_post_parameters()], name="trial_view")
class Trial:
    """The part of the policies' page that tries them."""

    admin_site: Any
    opts: Any
    actions_list = ["try_policies"]
    actions_detail = ["try_policy"]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.trial_view)
        return [path("trial/", view, name="policies_datapolicy_trial"), *super().get_urls()]  # type: ignore[misc]

    @action(description="Try on a text", icon="science", permissions=["view"])
    def try_policies(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:policies_datapolicy_trial"))

    @action(description="Try on a text", icon="science", permissions=["view"])
    def try_policy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:policies_datapolicy_trial')}?policy={object_id}")

    def trial_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        sees_keys = request.user.has_perm("keys.view_key")
        chosen = {"policy": request.GET.get("policy", "")}
        form = TrialForm(request.POST or None, initial=chosen, sees_keys=sees_keys)
        outcome = None
        if form.is_bound and form.is_valid():
            asked = form.cleaned_data
            try:
                outcome = trial.look(asked["text"], model=asked["model"], key=asked.get("key"), policy=asked["policy"])
            except RecursionError:
                form.add_error("text", "It is nested too deeply: the gateway would refuse it.")
            except msgspec.DecodeError as error:
                form.add_error("text", f"The gateway would refuse it: {error}.")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Try on a text",
            "form": form,
            "outcome": outcome,
            "everyones": [policy.name for policy in trial.held(None, None)],
            "keys": Key.objects.filter(revoked_at=None)[:MOST_OFFERED] if sees_keys else (),
            "models": Model.objects.filter(is_enabled=True).values_list("name", flat=True)[:MOST_OFFERED],
        }
        return TemplateResponse(request, "admin/policies/trial.html", context)
