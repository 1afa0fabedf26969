"""What is done to several keys at once from their list."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from apps.audit.bulk import ManyForm, to_many
from apps.audit.rows import RowSelect, is_id
from apps.keys import services
from apps.keys.forms import OVERLAPS
from apps.keys.models import Key
from apps.tenants.models import Project

MOST_SHOWN = 100  # secrets on one page
ENDS = {"1": "in a day", "7": "in 7 days", "30": "in 30 days", "90": "in 90 days", "365": "in a year", "": "never"}


def _usable() -> Q:
    now = timezone.now()
    return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


class RevokeForm(ManyForm):
    """Their number is typed, so that none is clicked away."""

    typed = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.word = f"revoke {self.count}"
        self.fields["typed"].label = f"Type “{self.word}” to revoke"

    def clean(self) -> dict[str, Any]:
        """What was typed is no business of the keys'."""
        if "typed" not in self.errors and self.cleaned_data["typed"].strip() != self.word:
            self.add_error("typed", "That is something else.")
        return {}


class RotateForm(ManyForm):
    overlap = forms.ChoiceField(
        label="The old secrets stop working",
        choices=list(OVERLAPS.items()),
        initial="24",
        widget=UnfoldAdminRadioSelectWidget,
    )

    def clean_overlap(self) -> datetime.timedelta:
        return datetime.timedelta(hours=int(self.cleaned_data["overlap"]))


class _ProjectField(forms.ModelChoiceField):
    def clean(self, value: Any) -> Any:
        if value and not is_id(Project, value):
            raise ValidationError(self.error_messages["invalid_choice"], "invalid_choice", {"value": value})
        return super().clean(value)

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.tenant} / {obj.name}"


class MoveForm(ManyForm):
    """To a project of the same tenant: the service refuses the keys of others."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        widget = RowSelect(Key._meta.get_field("project"), self.page.admin_site)
        self.fields["project"] = _ProjectField(Project.objects.select_related("tenant"), widget=widget)


class ExpiryForm(ManyForm):
    ends = forms.ChoiceField(
        label="They stop working",
        choices=list(ENDS.items()),
        initial="90",
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
    )

    def clean(self) -> dict[str, Any]:
        days = self.cleaned_data.pop("ends", "")
        return {"expires_at": timezone.now() + datetime.timedelta(days=int(days)) if days else None}


class Several:
    """The actions of the list of keys."""

    @to_many(
        "Revoke",
        does="Calls are refused within two seconds, for good. Usage and history stay.",
        done="Revoked",
        open=lambda: Q(revoked_at=None),
        form=RevokeForm,
        is_danger=True,
    )
    def revoke_selected(self, row: Key, *, actor: Any) -> None:
        services.revoke(row, actor=actor)

    @to_many(
        "Rotate",
        does="Each gets a new secret, all of which are shown once, on the next page. Limits, budgets and usage go on.",
        done="Rotated",
        open=_usable,
        form=RotateForm,
        stamp=("public_id",),
        most=MOST_SHOWN,
        shown="admin/keys/rotated.html",
    )
    def rotate_selected(self, row: Key, *, actor: Any, overlap: datetime.timedelta) -> str:
        return services.rotate(row, actor=actor, overlap=overlap).plaintext

    @to_many(
        "Move",
        does="They go to another project of their tenant, whose budgets and limits hold from then on. What was "
        "spent stays where it was booked.",
        done="Moved",
        open=lambda: Q(revoked_at=None),
        form=MoveForm,
    )
    def move_selected(self, row: Key, *, actor: Any, project: Project) -> None:
        if row.project_id != project.pk:
            services.update(row, actor=actor, project=project)

    @to_many(
        "Set the expiry of",
        does="From then on their calls are refused, for good.",
        done="Changed",
        open=_usable,
        form=ExpiryForm,
    )
    def expire_selected(self, row: Key, *, actor: Any, expires_at: datetime.datetime | None) -> None:
        services.update(row, actor=actor, expires_at=expires_at)
