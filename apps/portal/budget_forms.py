"""Forms of budgets in the portal."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import timezone

from apps.keys import selfservice as keys
from apps.portal.forms import DollarsField, PortalForm
from apps.portal.key_forms import PERIODS, MomentField
from apps.portal.visits import Visit
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right

MOST_KEYS = 100
OVERDRAFT = "How far calls in flight may take a period past its amount in the worst case."
DAYS = 7
FIXED, DAYS_OF_FIXED = "fixed", ("starts_on", "ends_on")


class TermsForm(PortalForm):
    amount = DollarsField(label="Amount (USD)", help_text="When it is spent, calls are refused until the next period.")
    overdraft = DollarsField(label="Overdraft (USD)", required=False, help_text=OVERDRAFT)

    def clean_overdraft(self) -> int:
        return self.cleaned_data["overdraft"] or 0


class DayField(forms.DateField):
    def __init__(self, label: str, told: str) -> None:
        super().__init__(required=False, label=label, help_text=told, widget=forms.DateInput({"type": "date"}))


class DaysForm(TermsForm):
    """With the days of a fixed period."""

    starts_on = DayField("First day", "Before it calls are refused. What was spent before is not counted.")
    ends_on = DayField("Last day", "To its end. Then calls are refused.")


class NewBudgetForm(DaysForm):
    """For a project, a member or a key; for whoever manages no budgets, one of their own keys."""

    subject = forms.ChoiceField(label="Whose calls")
    period = forms.ChoiceField(
        choices=[*PERIODS, (FIXED, "fixed days")], initial="month", label="In", help_text="Fixed days come once."
    )
    field_order = ("subject", "amount", "period", *DAYS_OF_FIXED, "overdraft")
    when = dict.fromkeys(DAYS_OF_FIXED, f"period={FIXED}")

    def __init__(self, *args: Any, visit: Visit, **options: Any) -> None:
        super().__init__(*args, **options)
        self.subjects = _subjects(visit)
        field: Any = self.fields["subject"]
        field.choices = [(name, label) for name, (label, _) in self.subjects.items()]
        asked = str(self.data.get("subject") or self.initial.get("subject") or "")
        kind, _, number = asked.partition("-")
        if kind == "key" and asked not in self.subjects and number.isdecimal() and len(number) < 18:
            row = keys.keys_of(visit.user, visit.tenant).filter(pk=int(number)).first()
            if row is not None:
                self.subjects[asked] = (f"Key {row.name}", row)
                field.choices = [(asked, f"Key {row.name}"), *field.choices]

    @property
    def chosen(self) -> Any:
        """The row that it is for."""
        return self.subjects[self.cleaned_data["subject"]][1]

    @property
    def terms(self) -> dict[str, Any]:
        """Days that stand there unseen, as another period was chosen since, are none."""
        names: tuple[str, ...] = ("amount", "overdraft", "period")
        if self.cleaned_data["period"] == FIXED:
            names = (*names, *DAYS_OF_FIXED)
        return {name: self.cleaned_data[name] for name in names}


class EditBudgetForm(DaysForm):
    field_order = ("amount", *DAYS_OF_FIXED, "overdraft", "is_enabled")
    is_enabled = forms.BooleanField(required=False, label="It restrains calls")

    def __init__(self, *args: Any, budget: Any, **options: Any) -> None:
        names: tuple[str, ...] = ("amount", "overdraft", "is_enabled")
        if budget.period == FIXED:
            names = (*names, *DAYS_OF_FIXED)
        super().__init__(*args, initial={name: getattr(budget, name) for name in names}, **options)
        if budget.period != FIXED:
            for name in DAYS_OF_FIXED:
                del self.fields[name]

    @property
    def terms(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}


class AskForm(PortalForm):
    amount = DollarsField(label="How much more (USD)", help_text="In each of its periods, until then.")
    until = MomentField(label="Until (UTC)", help_text="Then the budget is what it was. What was spent stays spent.")
    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea({"rows": 3}),
        help_text="Whoever decides reads it. So does the audit log.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial.setdefault("until", timezone.now() + datetime.timedelta(days=DAYS))


class DecisionForm(forms.Form):
    note = forms.CharField(max_length=1000, required=False)


def _subjects(visit: Visit) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}
    if visit.may(Right.MANAGE_BUDGETS):
        for project in tenants.projects_of(visit.tenant):
            found[f"project-{project.pk}"] = (f"Project {project.name}", project)
        for member in tenants.members_of(visit.tenant):
            found[f"member-{member.pk}"] = (f"Member {member.user}", member)
    if visit.may(Right.CALL):
        own = keys.keys_of(visit.user, visit.tenant).filter(user=visit.user, revoked_at=None).order_by("-pk")
        for key in own[:MOST_KEYS]:
            found[f"key-{key.pk}"] = (f"Key {key.name}", key)
    return found
