"""What the owners of a tenant set for all of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponseBase
from django.shortcuts import redirect

from apps.portal.forms import PortalForm
from apps.portal.visits import Visit, page
from apps.tenants import selectors, selfservice
from apps.tenants.rights import Right


class SettingsForm(PortalForm):
    name = forms.CharField(max_length=100)
    timezone = forms.CharField(
        label="Time zone",
        max_length=64,
        widget=forms.TextInput({"list": "zones", "autocomplete": "off", "spellcheck": "false"}),
        help_text="Where days, weeks and months of budgets begin, and which times these pages tell.",
    )
    on_outage = forms.ChoiceField(label="While limits or budgets cannot be counted", widget=forms.RadioSelect)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["on_outage"]
        field.choices = selectors.outages()


@page("GET", "HEAD", "POST", right=Right.MANAGE_SETTINGS)
def settings(visit: Visit) -> HttpResponseBase:
    tenant = visit.tenant
    form = SettingsForm(
        visit.request.POST or None,
        initial={"name": tenant.name, "timezone": tenant.timezone, "on_outage": tenant.on_outage},
    )
    if visit.request.method == "POST" and form.is_valid():
        try:
            selfservice.update_settings(tenant, actor=visit.user, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(visit.request, "Saved.")
            return redirect(visit.url("settings"))
    status = 422 if form.is_bound and form.errors else 200
    return visit.show("portal/settings.html", form=form, zones=selectors.timezones(), status=status)
