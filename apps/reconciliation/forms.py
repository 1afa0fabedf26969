"""What operators fill in: a file, what to fetch, which differences to post."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from apps.domain import money
from apps.reconciliation import fetching, services
from apps.reconciliation.models import Report, ReportSource, Status
from apps.tenants.models import Project

MOST_PROJECTS = 1_000


class UploadForm(forms.ModelForm):
    file = forms.FileField(
        label="File",
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"JSON of the admin API, all pages one after another; or AWS's report as CSV, CSV.gz or Parquet."
        f" At most {services.MOST_BYTES // 1024**2} MB.",
    )

    class Meta:
        model = Report
        fields = ["provider", "shape"]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > services.MOST_BYTES:
            raise forms.ValidationError(f"It is longer than {services.MOST_BYTES:,} bytes.")
        return file


class FetchForm(forms.Form):
    source = forms.ModelChoiceField(ReportSource.objects.none(), label="From", widget=UnfoldAdminSelect2Widget)
    shape = forms.ChoiceField(
        label="Report",
        choices=[(shape.value, shape.label) for shapes in fetching.SHAPES.values() for shape in shapes],
        widget=UnfoldAdminSelect2Widget,
    )
    first_day = forms.DateField(label="First day (UTC)", widget=UnfoldAdminSingleDateWidget)
    last_day = forms.DateField(label="Last day (UTC)", widget=UnfoldAdminSingleDateWidget)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["source"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = ReportSource.objects.select_related("provider")


class SourceForm(forms.ModelForm):
    secret = forms.CharField(
        label="Admin key",
        required=False,
        max_length=services.MOST_SECRET,
        strip=True,
        widget=UnfoldAdminTextInputWidget({"type": "password", "autocomplete": "new-password"}),
        help_text="Of the organization's administrator: keys that call models cannot read reports. Never shown again.",
    )

    class Meta:
        model = ReportSource
        fields = ["provider", "vendor", "address"]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.instance.pk is None and not values.get("secret") and "secret" not in self.errors:
            self.add_error("secret", "Give the key.")
        return values


class PostForm(forms.Form):
    statuses = forms.MultipleChoiceField(label="Which", widget=UnfoldAdminCheckboxSelectMultipleWidget)
    project = forms.ModelChoiceField(
        Project.objects.none(),
        label="Whose it is, what nobody called through Weir",
        required=False,
        widget=UnfoldAdminSelect2Widget,
    )
    note = forms.CharField(label="Note", required=False, max_length=200, widget=UnfoldAdminTextInputWidget)

    def __init__(self, *args: Any, sums: dict[str, tuple[int, int]], **options: Any) -> None:
        super().__init__(*args, **options)
        statuses = self.fields["statuses"]
        assert isinstance(statuses, forms.MultipleChoiceField)
        statuses.choices = [
            (status, f"{Status(status).label}: {count:,}, {signed(total)}")
            for status in services.POSTABLE
            if status in sums
            for count, total in [sums[status]]
        ]
        project = self.fields["project"]
        assert isinstance(project, forms.ModelChoiceField)
        project.queryset = Project.objects.select_related("tenant").order_by("tenant__name", "name")
        project.label_from_instance = lambda row: f"{row.tenant} · {row}"  # type: ignore[method-assign]
        if Status.NOT_HERE not in sums:
            del self.fields["project"]


def signed(amount: int) -> str:
    return f"{'+' if amount > 0 else ''}{money.text(amount)}"


def signed_count(count: int) -> str:
    return f"{count:+,}" if count else "0"
