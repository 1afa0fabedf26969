"""Every page there is, on rows that a seeded installation has: of the portal, of the admin, and what the management API
answers. One list, made of the tables of addresses and of what is registered, so
that a new page is in it, or stops it for want of a row to be opened on.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts import services as alerts
from apps.alerts.models import AlertRule, Destination
from apps.api.resource import Listing
from apps.api.resources.charges import Focus
from apps.api.urls import VIEWS
from apps.catalog.models import Deployment, PinnedEndpoint
from apps.keys.models import Key
from apps.portal import urls
from apps.quotas import increases
from apps.quotas.models import Budget, Increase
from apps.tenants import invitations
from apps.tenants.models import Membership, Project, Role, Tenant
from apps.usage.models import Entry

ADMIN, API = "admin", "api"
# Only sent to, or a page that somebody is led to with a word that the database does not have.
SENT = {
    *("programs-end", "playground-code", "playground-lend", "budgets-remove", "budgets-decide", "members-withdraw"),
    *("projects-switch", "alerts-rule-remove", "alerts-test", "alerts-rotate", "alerts-destination-remove"),
}
NO_PAGES = ("login", "logout", "jsi18n", "autocomplete", "view_save")  # of the admin's site, by themselves
FILES = re.compile(r"\.(csv|parquet)\b|kind=(csv|parquet)")  # as long as they are; they stream
WHOLE = ("costs-focus",)  # its form is sent as a whole
UNTYPED = {"from", "to", "first", "last", "page", "before"}


class Sight(NamedTuple):
    """`who` looks at `url`, one of the addresses of the page `name`."""

    who: str
    name: str
    url: str

    @property
    def is_file(self) -> bool:
        return bool(FILES.search(self.url))


@dataclass(frozen=True)
class Viewer:
    """Somebody at a tenant's pages, with one of each that pages are about."""

    name: str
    user: User
    tenant: Tenant
    things: dict[str, Any] = field(default_factory=dict)


def viewers(largest: Tenant, middle: Tenant) -> list[Viewer]:
    """The owners of both, and of the larger one the developer who has called last."""
    found = [_viewer("owner", largest, _of_role(largest, Role.OWNER)), _viewer("median", middle, _of_role(middle))]
    theirs = Membership.objects.filter(tenant=largest, role=Role.DEVELOPER).values("user")
    calls = Entry.objects.filter(tenant=largest, key__isnull=False).order_by("-id")
    whose = {row.user_id for row in calls[:5_000]}
    busy = User.objects.filter(pk__in=[pk for pk in whose if pk]).filter(pk__in=theirs).order_by("pk").first()
    return [*found, _viewer("developer", largest, busy or _of_role(largest, Role.DEVELOPER))]


def portal(viewer: Viewer) -> Iterator[Sight]:
    for page in urls.tenant_pages:
        if page.name in SENT:
            continue
        given = {name: viewer.things[name] for name in page.pattern.converters if name != "tenant"}
        address = reverse(f"portal:{page.name}", kwargs={"tenant": viewer.tenant.slug, **given})
        for query in _asked(page.name, viewer):
            yield Sight(viewer.name, f"portal {page.name}", _with(address, query))
    for page in urls.urlpatterns:
        if getattr(page, "name", None) == "home":
            yield Sight(viewer.name, "portal home", reverse("portal:home"))


def forms(sight: Sight, text: str, viewer: Viewer) -> Iterator[Sight]:
    """The page's filters, each by itself: a few of the choices, and what somebody might type."""
    page = sight.name.partition(" ")[2]
    for name, values in _Filters.of(text).items() if page not in WHOLE else ():
        for value in values or _typed(page, name, viewer):
            query = {"span": "30d"} if page in ("usage", "costs") else {}
            yield sight._replace(url=_with(urlsplit(sight.url).path, query | {name: value}))


def onward(sight: Sight, text: str) -> Iterator[Sight]:
    """The next page of a list."""
    tags = re.findall(r"<a\b[^>]*>", text)
    links = [tag for tag in tags if 'rel="next"' in tag] or [tag for tag in tags if "?before=" in tag]
    if links and (found := re.search(r'href="([^"]+)"', links[-1])):
        link = html.unescape(found[1])
        yield sight._replace(url=link if link.startswith("/") else urlsplit(sight.url).path + link)


# --- the admin ------------------------------------------------------------------------------------------------------


def console(viewer: Viewer) -> Iterator[Sight]:
    """The first page, pages of no table, and of each table its list in all ways, and one row's pages."""
    for name, arguments in _alone(viewer):
        yield Sight(ADMIN, f"admin {name}", reverse(f"admin:{name}", kwargs=arguments))
    for page in ("live-all", "live-who-all", "live-now-all"):
        yield Sight(ADMIN, f"portal {page}", reverse(f"portal:{page}"))
    for model, registered in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label_lower):
        yield from _listed(model, registered, viewer)
        row = _row_of(model, viewer)
        if row is not None:
            yield from _shown(model, registered, row)


def _alone(viewer: Viewer) -> Iterator[tuple[str, dict[str, Any]]]:
    known = {
        "deployment_id": Deployment.objects.values_list("pk", flat=True).first(),
        "budget_id": viewer.things["budget"],
        "app_label": "keys",
    }
    for page in admin.site.get_urls():
        name, needed = getattr(page, "name", None), set(page.pattern.regex.groupindex)
        if name is not None and needed <= known.keys() and name not in NO_PAGES:
            yield name, {argument: known[argument] for argument in needed}


def _listed(model: type[Model], registered: Any, viewer: Viewer) -> Iterator[Sight]:
    label = f"{model._meta.app_label}_{model._meta.model_name}"
    address, name = reverse(f"admin:{label}_changelist"), f"admin {label} list"
    yield Sight(ADMIN, name, address)
    if registered.search_fields:
        for term in ("Key 0001", "scale-0001-owner", "zzz"):
            yield Sight(ADMIN, name, _with(address, {"q": term}))
    for spec in registered.list_filter:
        for query in _filtered(model, registered, spec, viewer):
            yield Sight(ADMIN, name, _with(address, query))
    request = RequestFactory().get(address)
    for place, column in enumerate(registered.get_sortable_by(request) or (), start=1):
        if _is_sorted_by(model, registered, column):
            yield Sight(ADMIN, f"{name}, sorted", _with(address, {"o": f"-{place}"}))
    for owner in (registered, *(inline(model, admin.site) for inline in registered.inlines)):
        for chosen in owner.get_autocomplete_fields(request):
            query = {"app_label": owner.opts.app_label, "model_name": owner.opts.model_name, "field_name": chosen}
            choices = reverse("admin:autocomplete")
            yield Sight(ADMIN, "admin autocomplete", _with(choices, query | {"term": "scale-0001-o"}))
    if registered.downloaded:
        yield Sight(ADMIN, f"admin {label} file", f"{address}download.csv")


def _filtered(model: type[Model], registered: Any, spec: Any, viewer: Viewer) -> Iterator[dict[str, Any]]:
    if isinstance(spec, tuple):
        name = spec[0]
        column: Any = model._meta.get_field(name)
        if column.is_relation:
            row = _row_of(column.related_model, viewer)
            values = [row.pk] if row is not None else []
            yield from ({f"{name}__id__exact": value} for value in values)
        else:
            choices = [value for value, _ in column.flatchoices] or ["1", "0"]
            yield from ({f"{name}__exact": value} for value in choices)
        return
    made = spec(RequestFactory().get("/"), {}, model, registered)
    yield from ({spec.parameter_name: value} for value, _ in made.lookup_choices)


def _is_sorted_by(model: type[Model], registered: Any, column: Any) -> bool:
    """Whether the list can be, by the column's head."""
    if column in {each.name for each in model._meta.get_fields() if not each.auto_created}:
        return True
    method = getattr(registered, column, None) if isinstance(column, str) else column
    return getattr(method, "admin_order_field", None) is not None


def _shown(model: type[Model], registered: Any, row: Any) -> Iterator[Sight]:
    label = f"{model._meta.app_label}_{model._meta.model_name}"
    for page in registered.get_urls():
        name, needed = getattr(page, "name", None) or "", set(page.pattern.converters)
        if name.startswith(label) and needed <= {"object_id"} and not name.endswith("changelist"):
            address = reverse(f"admin:{name}", kwargs=dict.fromkeys(needed, row.pk))
            yield Sight(ADMIN, f"admin {label} {name.removeprefix(f'{label}_')}", address)


def _row_of(model: type[Model], viewer: Viewer, *, among: QuerySet[Any] | None = None) -> Any:
    """Of the viewer's, where they have one, as most hangs on it; else the newest."""
    things, tenant = viewer.things, viewer.tenant
    whose: dict[type[Model], Any] = {Tenant: tenant.pk, User: viewer.user.pk, Project: things["project"]}
    whose |= {Key: things["key"], Budget: things["budget"], Entry: things["entry"]}
    rows = model._default_manager.all() if among is None else among
    theirs = rows.filter(pk=whose[model]).first() if model in whose else None
    return theirs or rows.order_by("-pk").first()


# --- the management API ---------------------------------------------------------------------------------------------


def interface(viewer: Viewer) -> Iterator[Sight]:
    """Lists in all ways, and one row of each, as an operator and as the viewer are told."""
    of_a_day = {"tenant": viewer.tenant.pk, "day": timezone.now().date() - timedelta(days=1)}
    for view in VIEWS:
        for who in (API, f"{API} {viewer.name}"):
            address, name = f"/api/v1/{view.place}", f"api {view.place}"
            if not hasattr(view, "list"):
                continue
            queries = [of_a_day] if view is Focus else [{}, *_queries(view, viewer)]
            if issubclass(view, Listing):
                queries.append({"limit": 200})
            yield from (Sight(who, name, _with(address, query)) for query in queries)
            row = _row_of(view.rows().model, viewer, among=view.rows()) if hasattr(view, "retrieve") else None
            if row is not None:
                yield Sight(who, f"{name} one", f"{address}/{row.pk}")


def _queries(view: Any, viewer: Viewer) -> Iterator[dict[str, Any]]:
    since = timezone.now() - timedelta(days=30)
    known = {"tenant": viewer.tenant.pk, "actor": viewer.user.pk, "user": viewer.user.pk, **viewer.things}
    known |= {"since": since.isoformat(), "until": timezone.now().isoformat(), "target_type": "keys.key"}
    known |= {"target_id": str(viewer.things["key"]), "action": "key.issued", "request_id": viewer.things["call"]}
    for name, asked in (view.query().fields if view.query is not None else {}).items():
        if (choices := getattr(asked, "choices", None)) is not None:
            yield from ({name: value} for value in choices)
        elif name in known:
            yield {name: known[name]}


# --- what there is --------------------------------------------------------------------------------------------------


def _of_role(tenant: Tenant, role: Role = Role.OWNER) -> User:
    return Membership.objects.filter(tenant=tenant, role=role).select_related("user").earliest("pk").user


def _viewer(name: str, tenant: Tenant, user: User) -> Viewer:
    calls = Entry.objects.filter(tenant=tenant, kind=1).order_by("-id")
    entry = (calls.filter(user=user).first() if name == "developer" else None) or calls.filter(session__isnull=False)[0]
    key = Key.objects.filter(pk=entry.key_id).get()
    owner = _of_role(tenant)
    budget = Budget.objects.filter(project__tenant=tenant).earliest("pk")
    things = {
        "key": key.pk,
        "public_id": key.public_id,
        "entry": entry.pk,
        "call": entry.request_id.hex,
        "session": entry.session,
        "trace": entry.trace_id,
        "project": entry.project_id,
        "model": entry.model_id,
        "provider": entry.provider_id,
        "deployment": entry.deployment_id,
        "member": Membership.objects.filter(tenant=tenant).exclude(user=owner).latest("pk").pk,
        "budget": budget.pk,
        "pinned": PinnedEndpoint.objects.values_list("pk", flat=True).first() or 1,
        "program": 1,
    }
    return Viewer(name, user, tenant, things | _arranged(tenant, owner, budget))


def _arranged(tenant: Tenant, owner: User, budget: Budget) -> dict[str, Any]:
    """What a seeded tenant has none of is made, once."""
    later = timezone.now() + timedelta(days=2)
    more = Increase.objects.filter(budget=budget).first()
    more = more or increases.request(budget, actor=owner, amount=5, reason="A workshop", until=later)
    letter = tenant.invitations.first()
    letter = letter or invitations.invite(tenant, actor=owner, email="new@example.com", role=Role.VIEWER).invitation
    place = Destination.objects.filter(tenant=tenant).first()
    told = {"name": "Mail", "kind": "email", "target": "a@example.com"}
    place = place or alerts.create_destination(actor=owner, tenant=tenant, **told).destination
    rule = AlertRule.objects.filter(tenant=tenant).first()
    asked = {"kind": "unconfirmed", "name": "Unknown costs", "settings": {"calls": 5}}
    rule = rule or alerts.create_rule(actor=owner, tenant=tenant, **asked)
    return {"increase": more.pk, "invitation": letter.pk, "destination": place.pk, "rule": rule.pk}


# --- addresses ------------------------------------------------------------------------------------------------------


def _with(address: str, query: dict[str, Any]) -> str:
    return f"{address}?{urlencode(query)}" if query else address


def _asked(page: str, viewer: Viewer) -> Iterable[dict[str, Any]]:
    """Of pages that nothing is told by without a query, and questions that no single filter asks."""
    things, today = viewer.things, timezone.now().date()
    month = {"first": today - timedelta(days=30), "last": today}
    groups = ("model", "project", "key", "user", "provider", "endpoint", "pinned")
    of_costs = [{"by": by, "span": span} for by in groups for span in ("30d", "24h")]
    of_costs += [{"span": "30d", "by": "key", name: things[name]} for name in ("model", "project", "key", "provider")]
    of_costs.append({"span": "custom", "by": "key", "from": f"{today - timedelta(days=58)}", "to": f"{today}"})
    rare = [{"model": things["model"], "status": "timeout"}, {"key": things["public_id"], "status": "errors"}]
    rare += [{"project": things["project"], "status": "unconfirmed"}, {"q": "zzz", "model": things["model"]}]
    queries: dict[str, list[dict[str, Any]]] = {
        "usage": [{}, *({"span": "30d"} | query for query in rare)],
        "usage-export": [{"span": "30d"}, {"span": "30d", "status": "errors"}],
        "usage-session": [{"id": things["session"]}],
        "costs": [{}, *of_costs],
        "costs-export": [{"span": "30d", "by": "key"}, {"span": "30d", "by": "model", "table": "time"}],
        "costs-focus": [{}, month | {"kind": "csv"}, month | {"kind": "parquet"}],
    }
    if viewer.name == "developer":
        queries["costs"] = [query for query in queries["costs"] if query.get("by") != "user"]
        queries["costs-focus"] = [{}]
    return queries.get(page, [{}])


def _typed(page: str, name: str, viewer: Viewer) -> list[str]:
    """Raises KeyError for a filter that nothing is typed into here."""
    things = viewer.things
    typed: dict[tuple[str, str], list[str]] = {
        ("keys", "q"): ["Key 0001", things["public_id"][:6], "zzz"],
        ("models", "q"): ["large"],
        ("usage", "key"): [things["public_id"]],
        ("usage", "session"): [things["session"], "zzz"],
        ("usage", "q"): [f"req_{things['call']}", things["trace"], "zzz"],
        ("audit", "who"): ["scale-0001", "zzz"],
        ("audit", "what"): ["Key (weir_a", "zzz"],
    }
    return [] if name in UNTYPED else typed[page, name]


class _Filters(HTMLParser):
    """Of forms that are sent by GET, what can be chosen by name; of what is typed: nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self._is_inside = False
        self._select = ""

    @classmethod
    def of(cls, text: str) -> dict[str, list[str]]:
        parser = cls()
        parser.feed(text)
        return {name: _some(values) for name, values in parser.found.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._is_inside = given.get("method") == "get"
        elif not self._is_inside:
            return
        elif tag == "select":
            self._select = given.get("name") or ""
        elif tag == "option" and self._select and given.get("value"):
            self.found.setdefault(self._select, []).append(str(given["value"]))
        elif tag == "input" and (name := given.get("name")) and given.get("type") not in ("hidden", "submit"):
            values = self.found.setdefault(name, [])
            if given.get("type") in ("radio", "checkbox"):
                values.append(given.get("value") or "on")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""


def _some(values: list[str]) -> list[str]:
    """All words; of numbers, such as projects', the ends and the middle."""
    is_number = len(values) > 3 and all(value.isdecimal() for value in values)
    return [values[0], values[len(values) // 2], values[-1]] if is_number else values
