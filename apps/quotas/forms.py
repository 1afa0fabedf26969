"""Forms of limits and budgets."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.html import format_html

from apps.audit.fields import DollarsField, TimezoneField
from apps.audit.forms import Lasting
from apps.domain import money
from apps.quotas import selectors
from apps.quotas.models import Budget, Limit

SUBJECTS = ("tenant", "project", "user", "key", "model", "endpoint")
_AT_ONCE = 10
SUBJECT_HELP = {
    "tenant": "All that the tenant's keys do. With a user or a model: that one within this tenant.",
    "project": "All that the project's keys do.",
    "user": "All that a person's keys do.",
    "key": "One key, whatever its secret is at the time.",
    "model": "All calls of a model.",
    "endpoint": "All calls of a pinned endpoint, whichever way they come in.",
}


class RuleForm(Lasting, forms.ModelForm):
    """What `clean` has refused, the constraints refuse once more in the database's words: the first is enough."""

    def _update_errors(self, errors: Any) -> None:
        if whole := errors.error_dict.get(NON_FIELD_ERRORS):
            errors.error_dict[NON_FIELD_ERRORS] = whole[:1]
        super()._update_errors(errors)


class LimitForm(RuleForm):
    """Another subject is another limit."""

    lasting = SUBJECTS

    class Meta:
        model = Limit
        fields = [*SUBJECTS, "requests_per_minute", "tokens_per_minute", "concurrency", "is_enabled"]
        help_texts = {
            **SUBJECT_HELP,
            "requests_per_minute": "Empty: not limited.",
            "tokens_per_minute": "Input and output together. Empty: not limited.",
            "concurrency": "Calls at one time. Empty: not limited.",
        }


OVERDRAFT_HELP = (
    "How far calls in flight may take a period past its amount in the worst case. Without it each call holds the most "
    "that it may cost, so that a few with a large max_tokens hold all of a small budget while they run."
)


class BudgetForm(RuleForm):
    """Another subject or period is another budget."""

    lasting = (*SUBJECTS, "period")
    amount = DollarsField(
        label="Amount, $", help_text="US dollars in each period. When they are spent, calls are refused."
    )
    overdraft = DollarsField(label="Overdraft, $", required=False)
    timezone = TimezoneField(label="Time zone", empty="The tenant's own")

    class Meta:
        model = Budget
        fields = [*SUBJECTS, "amount", "overdraft", "period", "starts_on", "ends_on", "timezone", "is_enabled"]
        help_texts = {
            **SUBJECT_HELP,
            "starts_on": "A fixed period is one only: before and after it calls are refused. What was spent before "
            "the budget was made is not counted.",
            "ends_on": "To the end of that day.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "period" in self.fields and self.instance.pk is not None:
            self.fields["period"].help_text = "Another period is another budget."
        if "overdraft" in self.fields:
            self.fields["overdraft"].help_text = format_html("{} {}", OVERDRAFT_HELP, _suggestion())

    def clean_overdraft(self) -> int:
        return self.cleaned_data["overdraft"] or 0


def _suggestion() -> str:
    """For so many calls at one time as a team of agents makes."""
    found = selectors.dearest_answer()
    if found is None:
        return ""
    name, cost = found
    return (
        f"The longest answer of {name}, the dearest model here, costs {money.text(cost)}: "
        f"{money.text(_AT_ONCE * cost)} is enough for {_AT_ONCE} such calls at one time."
    )
