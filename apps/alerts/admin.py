"""Alerts in the admin: rules and destinations of the installation and of tenants, and all that was told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import action, display

from apps.alerts import outbox, services
from apps.alerts.models import Alert, AlertRule, Delivery, Destination
from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter

TONES = {Delivery.State.SENT: "good", Delivery.State.PENDING: "warn", Delivery.State.GIVEN_UP: "bad"}
OPERATORS = "the installation"
SETTINGS_HELP = (
    'Empty: the usual ones. A budget: {"percents": [50, 80, 100], "forecast": true}; failing calls: {"percent": 20, '
    '"minutes": 15, "calls": 20}; unconfirmed usage: {"calls": 100, "dollars": 1}; keys: {"days": 7}.'
)


def _state(delivery: Delivery) -> str:
    return cells.badge(delivery.get_state_display().lower(), TONES[Delivery.State(delivery.state)])


class DestinationForm(forms.ModelForm):
    """Of a URL that is kept, no more is shown than where it leads."""

    class Meta:
        model = Destination
        fields = ["name", "tenant", "kind", "target", "is_enabled"]
        help_texts = {
            "target": "E-mail addresses with commas between them, or an https:// address.",
            "tenant": "Empty: the installation's own, for operators.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk is not None and self.instance.is_secret and "target" in self.fields:
            self.initial["target"] = ""
            self.fields["target"].required = False
            self.fields["target"].help_text = format_html("Write-only. Empty: as it is, {}", self.instance.shown)

    def clean_target(self) -> str:
        return self.cleaned_data["target"] or self.instance.target


@admin.register(Destination)
class DestinationAdmin(AuditedAdmin):
    area = Area.USAGE
    form = DestinationForm
    list_display = ["name", "kind", "shown_target", "shown_owner", "shown_last", "shown_state"]
    list_filter = [("tenant", RowFilter), ("kind", ChoicesDropdownFilter), ("is_enabled", BooleanRadioFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name__startswith"]
    search_help_text = "Beginning of the name"
    autocomplete_fields = ["tenant"]
    actions_detail = ["send_test", "rotate"]
    fields = ["name", "tenant", "kind", "target", "is_enabled"]
    nothing_yet = "Where notices go: e-mail addresses, a signed webhook, or a Slack-shaped webhook."

    def get_readonly_fields(self, request: HttpRequest, obj: Destination | None = None) -> Any:
        """Its secret was sealed for its owner: another one is another destination."""
        return ["tenant", "kind"] if obj is not None else []

    def complete(self, rows: list[Any]) -> None:
        last = services.last_deliveries(rows)
        for row in rows:
            row.last = last.get(row.pk)

    def save_model(self, request: HttpRequest, obj: Destination, form: ModelForm, change: bool) -> None:
        if change:
            services.update_destination(obj, actor=request.user, **self.changes(obj, form.changed_data))
            return
        told = {"tenant": obj.tenant, "name": obj.name, "kind": obj.kind, "target": obj.target}
        made = services.create_destination(actor=request.user, **told)  # type: ignore[arg-type]  # as the form has them
        obj.pk, obj._state.adding = made.destination.pk, False
        request.made = made  # type: ignore[attr-defined]  # for response_add below, and for nobody else

    def response_add(self, request: HttpRequest, obj: Destination, post_url_continue: str | None = None) -> Any:
        made: services.Made = request.made  # type: ignore[attr-defined]
        if made.secret is None:
            return super().response_add(request, obj, post_url_continue)
        return self._secret(request, made)

    def delete_model(self, request: HttpRequest, obj: Destination) -> None:
        services.remove_destination(obj, actor=request.user)

    @action(description="Send a test", icon="send", permissions=["change"])
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._wanted(object_id)
        outcome = outbox.send_test(row).outcome if request.method == "POST" else ""
        does = f"One notice goes to {row.shown} at once, and what comes of it stands here."
        return self._ask(request, row, title=f"Send a test to {row}", does=does, button="Send", outcome=outcome)

    @action(description="Rotate secret", icon="autorenew", permissions=["change"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row, outcome = self._wanted(object_id), ""
        if request.method == "POST":
            try:
                return self._secret(request, services.rotate_secret(row, actor=request.user))
            except ValidationError as error:
                outcome = " ".join(error.messages)
        does = "It gets another secret, shown once. For 24 hours the one before signs beside it."
        return self._ask(request, row, title=f"Rotate the secret of {row}", does=does, button="Rotate", outcome=outcome)

    def _secret(self, request: HttpRequest, made: services.Made) -> HttpResponse:
        context = {"title": "Destination", "row": made.destination, "secret": made.secret, "what": "notices"}
        response = self._page(request, made.destination, "secret", context)
        response["Cache-Control"] = "no-store"
        return response

    def _ask(self, request: HttpRequest, row: Destination, **context: Any) -> HttpResponse:
        return self._page(request, row, "ask", context)

    def _page(self, request: HttpRequest, row: Destination, name: str, context: dict[str, Any]) -> HttpResponse:
        back = reverse("admin:alerts_destination_change", args=[row.pk])
        whole = {**self.admin_site.each_context(request), "opts": self.opts, "back": back, **context}
        return TemplateResponse(request, f"admin/{name}.html", whole)

    def _wanted(self, object_id: str) -> Destination:
        try:
            return Destination.objects.select_related("tenant").get(pk=object_id)
        except (Destination.DoesNotExist, ValueError):
            raise Http404 from None

    @display(description="Where")
    def shown_target(self, row: Destination) -> str:
        return row.shown

    @display(description="Of", ordering="tenant")
    def shown_owner(self, row: Destination) -> str:
        return str(row.tenant or OPERATORS)

    @display(description="Last notice")
    def shown_last(self, row: Any) -> str:
        if row.last is None:
            return cells.NOTHING
        return cells.lines([_state(row.last), f"{row.last.outcome} · {cells.utc(row.last.created_at)}"])

    @display(description="State", ordering="is_enabled")
    def shown_state(self, row: Destination) -> str:
        return cells.badge("enabled", "good") if row.is_enabled else cells.badge("disabled", "bad")


@admin.register(AlertRule)
class AlertRuleAdmin(AuditedAdmin):
    area = Area.USAGE
    list_display = ["name", "kind", "shown_owner", "shown_places", "shown_asked", "shown_state"]
    list_filter = [("tenant", RowFilter), ("kind", ChoicesDropdownFilter), ("is_enabled", BooleanRadioFilter)]
    list_select_related = ["tenant", "project"]
    search_fields = ["name__startswith"]
    search_help_text = "Beginning of the name"
    autocomplete_fields = ["tenant", "project", "destinations"]
    fields = ["name", "tenant", "project", "kind", "settings", "destinations", "is_enabled"]
    nothing_yet = "Be told before a budget is spent, when calls fail or a provider is down, and before a key expires."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        rows: QuerySet[AlertRule] = super().get_queryset(request)
        return rows.prefetch_related("destinations")

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        return ["tenant", "kind"] if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> type[ModelForm]:
        helps = {"settings": SETTINGS_HELP, "tenant": "Empty: all of the installation, for operators."}
        return super().get_form(request, obj, change=change, help_texts=helps, **options)

    def save_model(self, request: HttpRequest, obj: AlertRule, form: ModelForm, change: bool) -> None:
        places = form.cleaned_data["destinations"]
        if change:
            changes = self.changes(obj, [name for name in form.changed_data if name != "destinations"])
            services.update_rule(obj, actor=request.user, destinations=places, **changes)
            return
        told = {"tenant": obj.tenant, "project": obj.project, "name": obj.name, "kind": obj.kind}
        made = services.create_rule(
            actor=request.user, destinations=places, settings=obj.settings, is_enabled=obj.is_enabled,
            **told,  # type: ignore[arg-type]  # as the form has them
        )  # fmt: skip
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        services.remove_rule(obj, actor=request.user)

    @display(description="Of", ordering="tenant")
    def shown_owner(self, rule: AlertRule) -> str:
        return str(rule.project or rule.tenant or OPERATORS)

    @display(description="Tells")
    def shown_places(self, rule: AlertRule) -> str:
        return ", ".join(str(place) for place in rule.destinations.all()) or cells.NOTHING

    @display(description="Asked", ordering="evaluated_at")
    def shown_asked(self, rule: AlertRule) -> str:
        return cells.ago(rule.evaluated_at, never="not yet")

    @display(description="State", ordering="is_enabled")
    def shown_state(self, rule: AlertRule) -> str:
        return cells.badge("enabled", "good") if rule.is_enabled else cells.badge("disabled", "bad")


@admin.register(Alert)
class AlertAdmin(GrowingAdmin):
    list_display = ["title", "shown_state", "rule", "shown_raised", "shown_resolved"]
    list_filter = [("rule", RowFilter), ("state", ChoicesDropdownFilter)]
    list_select_related = ["rule"]
    ordering = ["-id"]
    fields = ["title", "text", "shown_state", "rule", "subject", "level", "shown_raised", "shown_resolved", "told"]
    readonly_fields = ["shown_state", "shown_raised", "shown_resolved", "told"]
    nothing_yet = "Nothing has happened so far that a rule is to tell of."

    @display(description="State")
    def shown_state(self, alert: Alert) -> str:
        is_over = alert.state == Alert.State.RESOLVED
        return cells.badge("over", "good") if is_over else cells.badge("raised", "bad")

    @display(description="Began")
    def shown_raised(self, alert: Alert) -> str:
        return cells.stamp(alert.raised_at)

    @display(description="Over since")
    def shown_resolved(self, alert: Alert) -> str:
        return cells.stamp(alert.resolved_at) if alert.resolved_at is not None else cells.NOTHING

    @display(description="Told")
    def told(self, alert: Alert) -> str:
        rows = [
            (row.event, str(row.destination or row.address), _state(row), row.attempts, row.outcome or cells.NOTHING,
             cells.stamp(row.created_at))
            for row in alert.deliveries.select_related("destination").order_by("created_at")[:50]
        ]  # fmt: skip
        return cells.table(("What", "Whom", "State", "Tries", "Last try", "Written (UTC)"), rows)
