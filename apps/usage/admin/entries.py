"""The ledger: a list of calls, and a page that says all that is known of one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.audit.rows import RowFilter
from apps.catalog.models import Deployment, Price, Protocol
from apps.domain import ids, money
from apps.quotas.models import BudgetWindow
from apps.usage import attempts, costs, selectors
from apps.usage.admin.attempts import picture, steps
from apps.usage.admin.columns import COUNTERS, dollars_of
from apps.usage.admin.costs import breakdown
from apps.usage.admin.filters import NAMED, OutcomeFilter, SessionFilter, SinceFilter
from apps.usage.finding import of_call, request_of, trace_url
from apps.usage.models import Entry, Kind
from apps.usage.rollups import UNPRICED

# Beside what a provider may be set up for: what only callers speak, and what only embeddings are asked in.
SPOKEN = {
    **dict(Protocol.choices),
    "openai_completions": "OpenAI Completions",
    "openai_embeddings": "OpenAI Embeddings",
    "prompt": "POST /chat",
    "ollama_embed": "Ollama's embeddings",
    "bedrock_embed": "Bedrock's embeddings",
}
INDEXED = {"tenant", "project", "user", "key"}
UNINDEXED = {"usage_source__exact", "model__id__exact", "provider__id__exact"}


@admin.register(Entry)
class EntryAdmin(GrowingAdmin):
    list_display = [
        *("shown_started", "shown_status", cells.column("model_name", "Requested model"), "tenant"),
        *("shown_key", "tokens", "shown_cost", "shown_latency", "shown_first"),
    ]
    list_filter = [
        SinceFilter,
        OutcomeFilter,
        *((name, RowFilter) for name in NAMED),
        ("usage_source", ChoicesDropdownFilter),
        SessionFilter,
    ]
    list_select_related = ["tenant", "key"]
    list_fullwidth = True
    search_fields = ["request_id"]  # see get_search_results
    search_help_text = "A request id, trace id or the provider's request id"
    sortable_by: list[str] = []
    downloaded = (
        *(("id", "id"), ("started", "started_at"), ("kind", "kind"), ("status", "status"), ("state", "state")),
        *(("tenant", "tenant.name"), ("project_id", "project_id"), ("user_id", "user_id"), ("key", "key.name")),
        *(("model", "model_name"), ("upstream_model", "upstream_model"), ("provider_id", "provider_id")),
        *((name, name) for name in COUNTERS),
        *((name, dollars_of(f"{name}_nano")) for name in ("cost", "low", "high")),
        *(("price_version", "price_version"), ("latency_ms", "latency_ms"), ("ttft_ms", "ttft_ms")),
        *(("request_id", "public_request_id"), ("error_code", "error_code"), ("trace_id", "trace_id")),
    )
    nothing_yet = "Every call that reached a provider is written down here. Issue a key and make the first one."
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *("shown_started", "shown_status", "shown_answer", "tenant", "project", "user", "key"),
                    *("shown_model", "shown_dialects", "pinned"),
                ]
            },
        ),
        ("Where it went", {"fields": ["provider", "shown_deployment", "upstream_model", "credential", "tried"]}),
        ("Money", {"fields": ["exact_cost", "shown_budget", "windows_charged", "version"]}),
        ("Tokens", {"fields": ["breakdown", "usage_source"]}),
        ("Time", {"fields": ["shown_first", "shown_latency", "shown_queue", "speed", "shown_settled"]}),
        (
            "Ids",
            {
                "fields": [
                    *("shown_request", "entry_id", "shown_trace", "provider_request_id", "message_id"),
                    *("client_address", "user_agent", "shown_session", "shown_agent"),
                ]
            },
        ),
        ("What the router did", {"fields": ["shown_trail"]}),
    ]
    readonly_fields = [
        *("shown_started", "shown_status", "shown_answer", "shown_model", "shown_dialects", "shown_deployment"),
        *("tried", "exact_cost", "shown_budget", "windows_charged", "version", "breakdown", "shown_first"),
        *("shown_latency", "shown_queue", "speed", "shown_settled", "shown_request", "entry_id", "shown_trail"),
        *("shown_trace", "shown_session", "shown_agent"),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Entry | None = None) -> Any:
        return self.fieldsets if obj is not None and obj.trail else self.fieldsets[:-1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        rows: QuerySet[Entry] = super().get_queryset(request)
        return rows.annotate(is_corrected=selectors.is_corrected())

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Callers know a request as `req_<hex>`; its entries' ids begin like it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (asked := request_of(term)) is not None:
            return queryset.filter(id__range=ids.entries_of(asked), request_id=asked), False
        return queryset.filter(of_call(term)), False

    def along(self, request: HttpRequest, changes: Any) -> QuerySet[Entry] | None:
        is_sought = bool(changes.query) and request_of(changes.query) is None
        if "session" in changes.params or not (is_sought or UNINDEXED & set(changes.params)):
            return None
        rows: QuerySet[Entry] = Entry.objects.order_by()
        for chosen in changes.filter_specs:
            if isinstance(chosen, SinceFilter) or getattr(chosen, "field_path", "") in INDEXED:
                rows = chosen.queryset(request, rows)
        return rows

    def moment_of(self, row: Entry) -> str:
        return cells.stamp(row.started_at)

    # --- what happened -----------------------------------------------------------------------------------------

    @display(description="Started (UTC)")
    def shown_started(self, entry: Entry) -> str:
        return cells.stamp(entry.started_at)

    @display(description="Outcome")
    def shown_status(self, entry: Any) -> str:
        if entry.kind == Kind.POST:
            return cells.badge(str(entry.get_status_display()), attempts.tone(entry))
        if entry.kind == Kind.UNCONFIRMED:
            return cells.badge("was unconfirmed" if entry.is_corrected else "unconfirmed", attempts.tone(entry))
        return cells.badge(str(entry.get_kind_display()).lower(), "info")

    @display(description="Key")
    def shown_key(self, entry: Entry) -> str:
        key = entry.key
        return cells.NOTHING if key is None else cells.lines([key.name, cells.code(key.prefix)])

    @display(description="Answer")
    def shown_answer(self, entry: Entry) -> str:
        if entry.kind == Kind.REPRICE:
            return "it had no price" if entry.error_code == UNPRICED else "it had another price"
        parts = [
            f"HTTP {entry.http_status}" if entry.http_status else "",
            entry.error_code,
            f"stopped: {entry.stop_reason}" if entry.stop_reason else "",
        ]
        return ", ".join(part for part in parts if part)

    @display(description="Model")
    def shown_model(self, entry: Entry) -> str:
        if entry.model_id is None:
            return entry.model_name
        return cells.link(reverse("admin:catalog_model_change", args=[entry.model_id]), entry.model_name)

    @display(description="Spoken")
    def shown_dialects(self, entry: Entry) -> str:
        client, upstream = (SPOKEN.get(name, name) for name in (entry.client_protocol, entry.upstream_protocol))
        spoken = client if client == upstream else f"{client}, {upstream} upstream"
        return f"{spoken or cells.NOTHING}, {'streamed' if entry.stream else 'not streamed'}"

    @display(description="Deployment")
    @cells.once
    def shown_deployment(self, entry: Entry) -> str:
        found = Deployment.objects.select_related("model", "provider").filter(pk=entry.deployment_id).first()
        if found is None:
            return cells.NOTHING
        return cells.link(reverse("admin:catalog_deployment_change", args=[found.pk]), found)

    @display(description="Attempts of this request")
    @cells.once
    def tried(self, entry: Entry) -> str:
        return picture(entry)

    @display(description="Steps")
    def shown_trail(self, entry: Entry) -> str:
        return steps(entry.trail)

    # --- what it cost ------------------------------------------------------------------------------------------

    @display(description="Tokens in → out")
    def tokens(self, entry: Entry) -> str:
        total = entry.in_fresh + entry.in_cache_read + entry.in_cache_write_5m + entry.in_cache_write_1h
        return cells.amount(f"{total:,} → {entry.out_total:,}")

    @display(description="Cost")
    def shown_cost(self, entry: Entry) -> str:
        return cells.amount(costs.shown(entry))

    @display(description="Cost")
    @cells.once
    def exact_cost(self, entry: Entry) -> str:
        """And what its attempt comes to, where that is more than this row."""
        parts = [row for row in attempts.of_request(entry) if row.attempt == entry.attempt]
        if len(parts) == 1 and entry.kind == Kind.UNCONFIRMED:
            resolve = reverse("admin:usage_unconfirmed_change", args=[entry.pk])
            return cells.lines([costs.shown(entry, write=money.exact), cells.link(resolve, "Say what it did cost")])
        if len(parts) == 1:
            return costs.shown(entry, write=money.exact)
        total = attempts.in_all(parts)
        return f"{costs.shown(entry, write=money.exact)}; the attempt in all {costs.shown(total, write=money.exact)}"

    @display(description="Charged to budgets")
    def shown_budget(self, entry: Entry) -> str:
        over = f", {money.exact(entry.overrun_nano)} more than was reserved" if entry.overrun_nano else ""
        return f"{money.exact(entry.high_nano)} (reserved {money.exact(entry.reserved_nano)}{over})"

    @display(description="Budgets")
    @cells.once
    def windows_charged(self, entry: Entry) -> str:
        windows = BudgetWindow.objects.filter(pk__in=entry.windows[:20]).select_related(
            *(f"budget__{name}" for name in ("tenant", "project", "user", "key", "model"))
        )
        links = [cells.link(_budget(window), str(window)) for window in windows]
        return cells.lines(links)

    @display(description="Price version")
    @cells.once
    def version(self, entry: Entry) -> str:
        if entry.price_version is None:
            return "none: the deployment had no price"
        price = Price.objects.filter(pk=entry.price_version).first()
        text = str(entry.price_version)
        if price is not None:
            text = f"{text}, in force from {price.effective_from:%Y-%m-%d %H:%M} UTC"
        return cells.link(reverse("admin:catalog_price_change", args=[entry.price_version]), text)

    @display(description="How the cost came about")
    @cells.once
    def breakdown(self, entry: Entry) -> str:
        return breakdown(entry)

    # --- how long it took --------------------------------------------------------------------------------------

    @display(description="Latency")
    def shown_latency(self, entry: Entry) -> str:
        return _milliseconds(entry.latency_ms)

    @display(description="First token")
    def shown_first(self, entry: Entry) -> str:
        return _milliseconds(entry.ttft_ms)

    @display(description="Waited in the gateway")
    def shown_queue(self, entry: Entry) -> str:
        return _milliseconds(entry.queue_ms)

    @display(description="Speed")
    def speed(self, entry: Entry) -> str:
        seconds = (entry.latency_ms - (entry.ttft_ms or 0)) / 1000
        return f"{entry.out_total / seconds:,.0f} tokens a second" if entry.out_total and seconds > 0 else cells.NOTHING

    @display(description="In the ledger since (UTC)")
    def shown_settled(self, entry: Entry) -> str:
        return cells.stamp(entry.settled_at)

    # --- ids ---------------------------------------------------------------------------------------------------

    @display(description="Request")
    def shown_request(self, entry: Entry) -> str:
        return cells.code(f"req_{entry.request_id.hex}")

    @display(description="Entry")
    def entry_id(self, entry: Entry) -> str:
        return cells.code(entry.pk)

    @display(description="Trace id")
    def shown_trace(self, entry: Entry) -> str:
        if not entry.trace_id:
            return cells.NOTHING
        url = trace_url(entry.trace_id)
        return cells.lines([cells.code(entry.trace_id), *([cells.link(url, "Open the trace")] if url else [])])

    @display(description="Session")
    def shown_session(self, entry: Entry) -> str:
        if not entry.session:
            return cells.NOTHING
        calls = reverse("admin:usage_entry_changelist") + f"?{urlencode({'session': entry.session, 'since': 'all'})}"
        return cells.lines([cells.code(entry.session), cells.link(calls, "Its calls")])

    @display(description="Agent")
    def shown_agent(self, entry: Entry) -> str:
        parent = f"started by {entry.parent_agent}" if entry.parent_agent else ""
        return ", ".join(part for part in (entry.agent, parent) if part) or cells.NOTHING


def _budget(window: BudgetWindow) -> str:
    return reverse("admin:quotas_budget_change", args=[window.budget_id])


def _milliseconds(value: int | None) -> str:
    if value is None:
        return cells.amount(cells.NOTHING)
    return cells.amount(f"{value:,} ms" if value < 1_000 else f"{value / 1_000:,.2f} s")
