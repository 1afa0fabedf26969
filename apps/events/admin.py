"""Where events go, in the admin: sinks, how far each has come, and what it has not taken."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter, is_id
from apps.events import doors, envelope, kinds, selectors, services, signing, trial
from apps.events.forms import FIELDS, ReplayForm, SinkForm
from apps.events.models import Sink, Undelivered
from apps.events.sinks import registry

BEHIND_SECONDS = 60  # what is younger is on its way
MOST_KINDS = 2
ABOUT = ["name", "kind", "target"]
STANDING = ["shown_state", "shown_sent", "shown_behind", "shown_trouble", "shown_letters"]


def state_of(sink: Sink, lag: selectors.Lag) -> list[str]:
    """A word and what there is to say of it."""
    if not sink.is_enabled:
        kept = [f"keeps its place until {cells.utc(sink.kept_until)}"] if sink.kept_until is not None else []
        return [cells.badge("paused", "warn"), *kept, *([lag.message] if lag.message else [])]
    if lag.failing_since is not None:
        return [cells.badge("failing", "bad"), f"began {cells.since(lag.failing_since)}"]
    if lag.waiting:
        return [cells.badge("held up", "warn"), f"{_events(lag.waiting)} not taken at first"]
    if lag.undelivered and lag.age >= BEHIND_SECONDS:
        return [cells.badge("behind", "warn"), f"by {_events(lag.undelivered)}"]
    return [cells.badge("delivering", "good")]


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


@admin.register(Sink)
class SinkAdmin(AuditedAdmin):
    area = Area.USAGE
    form = SinkForm
    list_display = ["name", "shown_state", "shown_letters", "shown_where", "shown_kinds", "shown_sent"]
    list_filter = [("kind", ChoicesDropdownFilter), ("is_enabled", BooleanRadioFilter)]
    search_fields = ["name__startswith"]
    search_help_text = "Beginning of the name"
    actions = ["pause", "resume"]
    actions_detail = ["send_test", "replay", "rotate"]
    readonly_fields = STANDING
    conditional_fields = {
        name: " || ".join(f"kind == '{kind}'" for kind, names in FIELDS.items() if name in names)
        for name in {name for names in FIELDS.values() for name in names}
    }
    nothing_yet = "Where other systems hear what happens here: RabbitMQ, Google Pub/Sub, a signed webhook, or a file."

    def get_fieldsets(self, request: HttpRequest, obj: Sink | None = None) -> Any:
        if obj is None:
            more = list(dict.fromkeys(name for names in FIELDS.values() for name in names))
            return [(None, {"fields": [*ABOUT, *more, "kinds", "is_enabled"]})]
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": [*ABOUT, "settings", "kinds", "is_enabled"]}), ("Standing", {"fields": STANDING})]
        own = [*FIELDS.get(obj.kind, ())]
        return [
            ("Standing", {"fields": STANDING}),
            ("Settings", {"fields": [*ABOUT, *own, "kinds", "is_enabled"]}),
        ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> type[ModelForm]:
        """Of a sink that is there, the fields of its kind."""
        form = super().get_form(request, obj, change=change, **options)
        if obj is None or not change:
            return form
        others = {name for names in FIELDS.values() for name in names}.difference(FIELDS.get(obj.kind, ()))
        return type(form.__name__, (form,), dict.fromkeys(others))

    def complete(self, rows: list[Any]) -> None:
        found = {lag.sink.pk: lag for lag in selectors.lags()}
        for row in rows:
            row.lag = found[row.pk]

    def save_model(self, request: HttpRequest, obj: Sink, form: Any, change: bool) -> None:
        told = form.told
        if change:
            changes = self.changes(obj, form.changed_data) | {"settings": told["settings"]}
            services.update_sink(obj, actor=request.user, secret=told["secret"], **changes)
            return
        made = signing.create(
            actor=request.user, name=obj.name, kind=obj.kind, target=obj.target, kinds=kinds.words(obj.kinds),
            is_enabled=obj.is_enabled, **told,
        )  # fmt: skip
        obj.pk, obj._state.adding = made.sink.pk, False
        request.made = made  # type: ignore[attr-defined]  # for response_add below, and for nobody else

    def response_add(self, request: HttpRequest, obj: Sink, post_url_continue: str | None = None) -> Any:
        made: signing.Made = request.made  # type: ignore[attr-defined]
        return self._secret(request, made) if made.secret else super().response_add(request, obj, post_url_continue)

    def delete_model(self, request: HttpRequest, obj: Sink) -> None:
        services.remove_sink(obj, actor=request.user)

    @to_many(
        "Pause",
        does="They get nothing. What happens is kept for them for as many days as WEIR_EVENT_DAYS says.",
        done="Paused",
        open=lambda: Q(is_enabled=True),
    )
    def pause(self, row: Sink, *, actor: Any) -> None:
        services.update_sink(row, actor=actor, is_enabled=False)

    @to_many(
        "Resume",
        does="They get what happened meanwhile, as far as it was kept for them, and then what happens.",
        done="Resumed",
        open=lambda: Q(is_enabled=False),
    )
    def resume(self, row: Sink, *, actor: Any) -> None:
        services.update_sink(row, actor=actor, is_enabled=True)

    @action(description="Send a test", icon="send", permissions=["change"])
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        sink = self._wanted(object_id)
        told: dict[str, Any] = {"button": "Send"}
        if request.method == "POST":
            found = trial.send(sink, actor=request.user)
            outcome = "It was taken." if found.is_taken else f"It was not taken: {found.told}"
            told = {"button": "Send another", "outcome": outcome, "tone": "good" if found.is_taken else "bad"}
        type_ = kinds.type_of(kinds.TEST)
        does = f"One event of the type {type_} goes to {sink.target} at once, and what comes of it stands here."
        return self._ask(request, sink, title=f"Send a test to {sink}", does=does, **told)

    @action(description="Replay", icon="replay", permissions=["change"])
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        sink, outcome = self._wanted(object_id), ""
        form = ReplayForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            count = services.replay(sink, actor=request.user, since=form.cleaned_data["since"])
            outcome = f"{_events(count)} to be sent again." if count else "Nothing is kept of what happened since."
        does = (
            "What it wants of all that has happened since then goes there again, in the same order and under the same "
            f"ids, as far as it is kept: {settings.WEIR_EVENT_DAYS} days. What it has not taken is among that."
        )
        told = {"form": form, "outcome": outcome, "does": does, "button": "Replay", "tone": "good" if outcome else ""}
        return self._ask(request, sink, title=f"Replay to {sink}", **told)

    @action(description="Rotate secret", icon="autorenew", permissions=["rotate"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        sink, outcome = self._wanted(object_id), ""
        if request.method == "POST":
            try:
                return self._secret(request, signing.rotate(sink, actor=request.user))
            except ValidationError as error:
                outcome = " ".join(error.messages)
        does = "It gets another secret, shown once. For 24 hours the one before signs beside it."
        return self._ask(
            request, sink, title=f"Rotate the secret of {sink}", does=does, button="Rotate", outcome=outcome, tone="bad"
        )

    def has_rotate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Not offered where Weir is given the secret."""
        if not self.has_change_permission(request):
            return False
        if object_id is None or not is_id(Sink, object_id):
            return True  # there is no such sink, and the page says so
        return not Sink.objects.filter(pk=object_id).exclude(kind=signing.KIND).exists()

    def _secret(self, request: HttpRequest, made: signing.Made) -> HttpResponse:
        context = {"title": "Event sink", "row": made.sink, "secret": made.secret, "what": "events"}
        response = self._page(request, made.sink, "secret", context)
        response["Cache-Control"] = "no-store"
        return response

    def _ask(self, request: HttpRequest, row: Sink, **context: Any) -> HttpResponse:
        return self._page(request, row, "ask", context)

    def _page(self, request: HttpRequest, row: Sink, name: str, context: dict[str, Any]) -> HttpResponse:
        back = reverse("admin:events_sink_change", args=[row.pk])
        whole = {**self.admin_site.each_context(request), "opts": self.opts, "back": back, **context}
        return TemplateResponse(request, f"admin/{name}.html", whole)

    def _wanted(self, object_id: str) -> Sink:
        try:
            return Sink.objects.get(pk=object_id)
        except (Sink.DoesNotExist, ValueError):
            raise Http404 from None

    def _lag(self, sink: Any) -> selectors.Lag:
        if not hasattr(sink, "lag"):
            self.complete([sink])
        found: selectors.Lag = sink.lag
        return found

    @display(description="Where", ordering="target")
    def shown_where(self, sink: Sink) -> str:
        return cells.lines([dict(registry.choices()).get(sink.kind, sink.kind), cells.code(sink.target)])

    @display(description="Events")
    def shown_kinds(self, sink: Sink) -> str:
        words = kinds.words(sink.kinds)
        more = [f"and {len(words) - MOST_KINDS} more"] if len(words) > MOST_KINDS else []
        return cells.words(words[:MOST_KINDS] + more, none="all")

    @display(description="State")
    def shown_state(self, sink: Sink) -> str:
        return cells.lines(state_of(sink, self._lag(sink)))

    @display(description="Last delivery")
    def shown_sent(self, sink: Sink) -> str:
        lag = self._lag(sink)
        if lag.delivered_at is None:
            return "none yet"
        return cells.lines([cells.ago(lag.delivered_at), f"{_events(lag.delivered)} so far"])

    @display(description="On their way")
    def shown_behind(self, sink: Sink) -> str:
        lag = self._lag(sink)
        if not lag.undelivered:
            return "nothing"
        oldest = cells.since(timezone.now() - timedelta(seconds=lag.age))
        return f"{_events(lag.undelivered)}, the oldest from {oldest}; {lag.waiting:,} of them were not taken at first"

    @display(description="What it was told last")
    def shown_trouble(self, sink: Sink) -> str:
        return self._lag(sink).message or cells.NOTHING

    @display(description="Dead letters")
    def shown_letters(self, sink: Sink) -> str:
        if not (dead := self._lag(sink).dead):
            return cells.NOTHING
        link = f"{reverse('admin:events_undelivered_changelist')}?sink__id__exact={sink.pk}&state__exact=dead"
        return cells.link(link, cells.badge(f"{dead:,}", "bad"))


@admin.register(Undelivered)
class UndeliveredAdmin(AuditedAdmin):
    """Of each sink what it has not taken: on its way still, or a dead letter."""

    area = Area.USAGE
    list_display = [
        "shown_event",
        "shown_tenant",
        "sink",
        "shown_state",
        "attempts",
        "message",
        "shown_since",
        "shown_next",
    ]
    list_filter = [("sink", RowFilter), ("state", ChoicesDropdownFilter)]
    list_select_related = ["sink", "event"]
    ordering = ["-pk"]
    actions = ["send_again", "drop"]
    fields = [
        *("shown_event", "shown_id", "shown_tenant", "sink", "shown_state", "attempts", "message", "shown_since"),
        *("shown_next", "shown_body"),
    ]
    readonly_fields = fields
    nothing = "All sinks have taken all events"
    nothing_yet = "What a sink refuses for good, or has not taken after nine tries, waits here for somebody to decide."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("events.change_sink"))  # type: ignore[union-attr]  # of the admin somebody is

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def used_by(self, request: HttpRequest, row: Any) -> str:
        return ""

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        """There is nothing to save: it is acted on from the list."""
        context |= {"show_save": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **options)

    def complete(self, rows: list[Any]) -> None:
        names = doors.slugs({row.tenant_id for row in rows if row.tenant_id is not None})
        for row in rows:
            row.tenant = names.get(row.tenant_id, "")

    @to_many(
        "Send again",
        does="Each gets as many tries as a new one has. They come later than what has happened since.",
        done="On their way again",
        open=lambda: Q(state=Undelivered.State.DEAD),
    )
    def send_again(self, row: Undelivered, *, actor: Any) -> None:
        services.send_again([row.pk], sink=row.sink, actor=actor)

    @to_many(
        "Drop",
        does="Their sinks never get them, unless they are replayed while they are kept.",
        done="Dropped",
        open=lambda: Q(state=Undelivered.State.DEAD),
        is_danger=True,
    )
    def drop(self, row: Undelivered, *, actor: Any) -> None:
        services.drop([row.pk], sink=row.sink, actor=actor)

    @display(description="Event, time (UTC)")
    def shown_event(self, row: Undelivered) -> str:
        return cells.lines([row.event.kind, cells.stamp(row.event.at)])

    @display(description="Its id")
    def shown_id(self, row: Undelivered) -> str:
        return cells.code(row.event.uid)

    @display(description="Tenant")
    def shown_tenant(self, row: Any) -> str:
        if not hasattr(row, "tenant"):
            self.complete([row])
        return row.tenant or cells.NOTHING

    @display(description="State", ordering="state")
    def shown_state(self, row: Undelivered) -> str:
        tone = "bad" if row.state == Undelivered.State.DEAD else "warn"
        word, _, more = row.get_state_display().lower().partition(" with ")
        return cells.lines([cells.badge(word, tone), *([f"with {more}"] if more else [])])

    @display(description="Since (UTC)")
    def shown_since(self, row: Undelivered) -> str:
        return cells.stamp(row.since)

    @display(description="Next try")
    def shown_next(self, row: Undelivered) -> str:
        return cells.NOTHING if row.state == Undelivered.State.DEAD else cells.ago(row.next_at)

    @display(description="What is sent")
    def shown_body(self, row: Undelivered) -> str:
        (message,) = envelope.messages([row.event])
        if isinstance(message, envelope.Unwritten):
            return message.why
        text = json.dumps(json.loads(message.body), indent=2, ensure_ascii=False)
        return format_html('<pre tabindex="0" class="weir-pre weir-wrapped">{}</pre>', text)
