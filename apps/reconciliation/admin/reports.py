"""Reports: brought in as files or fetched, their days as a chart, what differs, and posting it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.panels import Listing, listing_of
from apps.audit.rows import RowFilter
from apps.domain import money
from apps.reconciliation import judging, services
from apps.reconciliation.admin import charts
from apps.reconciliation.forms import FetchForm, PostForm, UploadForm, signed, signed_count
from apps.reconciliation.models import Difference, Report, Status

TONES = {
    Report.State.FETCHING: "info",
    Report.State.COMPARING: "info",
    Report.State.READY: "good",
    Report.State.FAILED: "bad",
}
MOST_LISTED = 12
REFRESH_SECONDS = 3


@admin.register(Report)
class ReportAdmin(AuditedAdmin):
    area = Area.USAGE
    form = UploadForm
    list_display = ["shown_days", "provider", "shape", "shown_state", "shown_result", "shown_origin"]
    list_filter = [("provider", RowFilter), ("shape", ChoicesDropdownFilter), ("state", ChoicesDropdownFilter)]
    list_select_related = ["provider", "created_by"]
    sortable_by: list[str] = []
    autocomplete_fields = ["provider"]
    list_fullwidth = True
    actions_list = ["fetch"]
    actions_detail = ["post_differences", "compare", "withdraw"]
    nothing = "No reports yet"
    nothing_yet = "Bring in what a provider says that it has billed, and see day by day whether Weir's books agree."
    add_fieldsets = [(None, {"fields": ["provider", "shape", "file"]})]
    fieldsets = [
        (
            None,
            {"fields": ["shown_state", "provider", "shape", "shown_days", "shown_origin", "shown_when", "shown_left"]},
        ),
        ("By day", {"fields": ["chart"]}),
        ("By state", {"fields": ["states", "tolerance"]}),
        ("Posted", {"fields": ["posted"]}),
    ]
    readonly_fields = [
        *("shown_state", "provider", "shape", "shown_days", "shown_origin", "shown_when", "shown_left"),
        *("chart", "states", "tolerance", "posted"),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Report | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        return self.fieldsets if obj.version and not obj.is_withdrawn else [self.fieldsets[0], self.fieldsets[-1]]

    def get_readonly_fields(self, request: HttpRequest, obj: Report | None = None) -> Any:
        return [] if obj is None else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What a provider said stays as it was said."""
        return not isinstance(obj, Report) and bool(super().has_change_permission(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def used_by(self, request: HttpRequest, row: Any) -> str:
        return ""

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **options: Any) -> HttpResponse:
        """While something is on its way the page looks again by itself."""
        response: HttpResponse = super().change_view(request, object_id, *args, **options)
        row = self.get_object(request, object_id)
        if row is not None and (row.is_at_work or row.adjustments.filter(done_at=None).exists()):
            response["Refresh"] = str(REFRESH_SECONDS)
        return response

    def save_model(self, request: HttpRequest, obj: Report, form: ModelForm, change: bool) -> None:
        file = form.cleaned_data["file"]
        made = services.upload(
            actor=request.user, provider=obj.provider, shape=obj.shape, body=file.read(), file_name=file.name
        )
        obj.pk, obj._state.adding = made.pk, False
        for field in obj._meta.concrete_fields:
            setattr(obj, field.attname, getattr(made, field.attname))

    def response_add(self, request: HttpRequest, obj: Report, post_url_continue: str | None = None) -> HttpResponse:
        messages.success(request, "It is being compared.")
        return HttpResponseRedirect(_page(obj))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **options)

    # --- doing -------------------------------------------------------------------------------------------------

    def has_work_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("reconciliation.change_report"))

    def has_fetch_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("reconciliation.add_report"))

    @action(description="Fetch a report", icon="cloud_download", permissions=["fetch"])
    def fetch(self, request: HttpRequest) -> HttpResponse:
        form = FetchForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                made = services.fetch(
                    actor=request.user,
                    source=given["source"],
                    shape=given["shape"],
                    first=given["first_day"],
                    last=given["last_day"],
                )
                return HttpResponseRedirect(_page(made))
            except ValidationError as error:
                form.add_error(None, error)
        has_source = form.fields["source"].queryset.exists()  # type: ignore[attr-defined]
        context = {"title": "Fetch a report", "form": form, "has_source": has_source}
        return self._shown(request, "fetch", context)

    @action(description="Post differences", icon="post_add", permissions=["work"])
    def post_differences(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """First what would be posted, with its sums; then it is, as it was shown."""
        report = self._wanted(request, object_id)
        sums = services.sums(services.postable(report))
        usual = [status for status in services.USUAL if status in sums]
        form = PostForm(request.POST or None, sums=sums, initial={"statuses": usual})
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                services.post(
                    report,
                    actor=request.user,
                    version=_number(request.POST.get("version", "")),
                    statuses=given["statuses"],
                    project=given.get("project"),
                    note=given["note"],
                )
                messages.success(request, "It is being posted.")
                return HttpResponseRedirect(_page(report))
            except ValidationError as error:
                form.add_error(None, error)
        context = {"title": f"Post differences of {report}", "report": report, "form": form, "has_any": bool(sums)}
        context["is_posted"] = report.adjustments.filter(version=report.version).exists()
        return self._shown(request, "post", context | {"back": _page(report)})

    @action(description="Compare again", icon="sync", permissions=["work"])
    def compare(self, request: HttpRequest, object_id: str) -> HttpResponse:
        does = "Names, prices, resolved calls and what was posted since are taken into account."
        return self._asked(request, object_id, services.compare_again, "Compare again", does)

    @action(description="Withdraw", icon="delete_sweep", permissions=["work"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        does = "Its lines are forgotten, so that another report of these days can be brought in. What was posted stays."
        return self._asked(request, object_id, services.withdraw, "Withdraw", does)

    def _asked(self, request: HttpRequest, object_id: str, do: Any, button: str, does: str) -> HttpResponse:
        report, outcome = self._wanted(request, object_id), ""
        if request.method == "POST":
            try:
                do(report, actor=request.user)
                return HttpResponseRedirect(_page(report))
            except ValidationError as error:
                outcome = " ".join(error.messages)
        context = {"title": f"{button}: {report}", "does": does, "button": button, "outcome": outcome}
        whole = {**self.admin_site.each_context(request), "opts": self.opts, "back": _page(report), **context}
        return TemplateResponse(request, "admin/ask.html", whole)

    def _shown(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, **context}
        return TemplateResponse(request, f"admin/reconciliation/{name}.html", whole)

    def _wanted(self, request: HttpRequest, object_id: str) -> Report:
        report = self.get_object(request, object_id)
        if report is None:
            raise Http404
        if not self.has_work_permission(request):
            raise PermissionDenied
        assert isinstance(report, Report)
        return report

    # --- columns -----------------------------------------------------------------------------------------------

    def complete(self, rows: list[Any]) -> None:
        for row in rows:
            row.found = charts.by_status(row) if row.version and not row.is_withdrawn else {}

    @display(description="Days (UTC)")
    def shown_days(self, row: Report) -> str:
        return f"{row.first_day:%Y-%m-%d} to {row.last_day:%Y-%m-%d}"

    @display(description="State")
    def shown_state(self, row: Report) -> str:
        if row.is_withdrawn:
            return cells.badge("Withdrawn", "plain")
        badge = cells.badge(str(row.get_state_display()), TONES[Report.State(row.state)])
        told = {
            Report.State.FETCHING: f"{row.pages_read:,} pages so far",
            Report.State.COMPARING: f"{row.days_compared:,} of {row.days:,} days",
            Report.State.FAILED: row.failure,
        }.get(Report.State(row.state))
        return cells.lines([badge, told]) if told else badge

    @display(description="Result")
    def shown_result(self, row: Any) -> str:
        wrong = {
            status: found for status, found in row.found.items() if charts.STATES[Status(status)] in ("bad", "warn")
        }
        if not row.found:
            return cells.NOTHING
        if not wrong:
            return cells.badge("agrees", "good")
        count, total = sum(one for one, _ in wrong.values()), sum(amount for _, amount in wrong.values())
        return cells.lines([cells.badge(f"{count:,} differ", "bad"), signed(total) if row.has_cost else "tokens only"])

    @display(description="From")
    def shown_origin(self, row: Report) -> str:
        whose = f"by {row.created_by}" if row.created_by else ""
        return cells.lines(
            [part for part in ("fetched" if row.is_fetched else row.file_name or "a file", whose) if part]
        )

    @display(description="Since (UTC)")
    def shown_when(self, row: Report) -> str:
        return cells.stamp(row.created_at)

    @display(description="Left out")
    def shown_left(self, row: Report) -> str:
        told = [f"{left['what']}: {left['lines']:,} lines, {money.text(left['cost_nano'])}" for left in row.left_out]
        return cells.lines(told) if told else "nothing"

    @display(description="Provider and Weir")
    def chart(self, row: Report) -> str:
        found = charts.days(row)
        return render_to_string("admin/reconciliation/days.html", {"chart": found}) if found else cells.NOTHING

    @display(description="Lines")
    def states(self, row: Report) -> str:
        found, tokens = charts.by_status(row), services.tokens(row.differences.all()) if row.has_tokens else {}
        link = reverse("admin:reconciliation_difference_changelist") + f"?report__id__exact={row.pk}"
        rows = [
            (
                cells.badge(str(status.label), charts.STATES[status]),
                cells.link(f"{link}&status__exact={status.value}", f"{found[status.value][0]:,}"),
                cells.amount(signed(found[status.value][1]) if row.has_cost else cells.NOTHING),
                cells.amount(signed_count(tokens[status.value]) if row.has_tokens else cells.NOTHING),
            )
            for status in Status
            if status.value in found
        ]
        heads = ("State", "Lines", "To post", "Tokens")
        return cells.table(heads, rows) if rows else "There is no usage, on neither side."

    @display(description="Tolerance")
    def tolerance(self, row: Report) -> str:
        return judging.TOLERANCE

    @display(description="Adjustments")
    def posted(self, row: Report) -> str:
        links = [
            cells.link(
                reverse("admin:reconciliation_adjustment_change", args=[made.pk]),
                f"{cells.utc(made.created_at)}: {made.get_state_display()}",
            )
            for made in row.adjustments.all()[:20]
        ]
        return cells.lines(links) if links else "nothing so far"


@listing_of(Report)
def largest(request: HttpRequest, row: Any) -> Listing | None:
    if not row.version or row.is_withdrawn or not request.user.has_perm("reconciliation.view_difference"):
        return None
    found = _largest(row)
    table = render_to_string("admin/reconciliation/largest.html", {"rows": found, "report": row})
    link = f"{reverse('admin:reconciliation_difference_changelist')}?report__id__exact={row.pk}"
    return Listing("What differs most", table if found else "", link, "Nothing differs by more than is tolerated.")


def _largest(report: Report) -> list[dict[str, Any]]:
    """Those with most money between the two, or tokens."""
    wrong = [status for status in Status if charts.STATES[status] in ("bad", "warn")]
    found = list(report.differences.filter(status__in=wrong).order_by("day", "id")[:2_000])
    found.sort(key=lambda row: -abs(row.difference_nano or judging.measures(row)[0] - judging.measures(row)[1]))
    link = "admin:reconciliation_difference_change"
    return [
        {
            "row": row,
            "link": reverse(link, args=[row.pk]),
            "tone": charts.STATES[Status(row.status)],
            "there": _there(row),
            "here": money.text(row.counted_nano) if report.has_cost else f"{row.counted_tokens:,}",
            "difference": signed(row.difference_nano) if row.difference_nano is not None else "",
            "tokens": signed_count((row.reported_tokens or 0) - row.counted_tokens),
            "hint": (judging.hints(row) or [""])[0].partition(". ")[0].rstrip(".:"),
        }
        for row in found[:MOST_LISTED]
    ]


def _there(row: Difference) -> str:
    if row.reported_nano is not None:
        return money.text(row.reported_nano)
    return cells.NOTHING if row.reported_tokens is None else f"{row.reported_tokens:,}"


def _page(report: Report) -> str:
    return reverse("admin:reconciliation_report_change", args=[report.pk])


def _number(text: str) -> int:
    """Of a comparison; 0: it is of none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
