"""Texts that want to be more, in every column that people or programs fill in, on every page of the admin: they are
shown, and never run."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import IntegrityError, models, transaction

from apps.audit.downloads import FORMULAS
from apps.audit.models import Record
from apps.catalog.models import Deployment
from apps.keys.models import Key
from apps.tenants.models import Tenant
from apps.usage import ledger
from apps.usage.models import Entry
from tests.control.desk import Desk
from tests.money.calls import intent, outcome
from tests.portal.test_hostile import MARK, PAYLOADS, Reader

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F30")]
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
SHAPED = {  # columns that code reads again before it shows a row
    *("slug", "vendor", "protocol", "base_url", "timezone", "cidr", "public_id", "kind", "role", "area", "revision"),
    *("task", "minute", "hour", "day_of_week", "day_of_month", "month_of_year", "headers", "args", "kwargs", "period"),
    *("password", "sealed", "sealed_before", "ciphertext", "client_secret", "target", "target_type", "target_id"),
    *(
        "issuer",
        "url",
        "jwks_url",
        "standing",
        "schedule",
        "endpoint",
        "state",
        "subject",
        "service",
        "last_four",
        "fingerprint",
    ),
}
LISTS = {  # JSON columns: texts, and texts by texts
    *("tags", "required_tags", "forbidden_tags", "regions", "aliases", "capabilities", "defaults", "quirks"),
    *("models", "endpoints", "audiences", "hosts", "cors_origins", "former_names"),
}
OBJECTS = {"required_claims", "policies.ManagedSettings.settings"}
PAGES = ("change", "history", "delete")
SILENT = {"django_celery_beat.CrontabSchedule"}  # whose columns all have a shape
GROUPS = 5  # of tables: filling them takes as long as opening the pages of a few
RUN = ("on", "x-", "@", ":", "hx-on", "hx-vals", "hx-vars", "hx-headers")  # the theme evaluates these


class AdminReader(Reader):
    """Of the scripts of a page, those may hold it that are data."""

    def __init__(self) -> None:
        super().__init__()
        self._is_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._is_data = tag == "script" and (given.get("type") or "").endswith("json")
        super().handle_starttag(tag, attrs)
        self.wrong += [f"{tag} {name}" for name, value in attrs if name.startswith(RUN) and MARK in (value or "")]

    def handle_data(self, data: str) -> None:
        if not self._is_data:
            super().handle_data(data)
        elif "<" in data:
            self.wrong.append(f"data {data[:80]}")


def written(payloads: Any, length: int) -> str:
    text = next(payloads)
    while len(longer := f"{text} {next(payloads)}") <= length:
        text = longer
    return text[:length]


def is_text(field: models.Field) -> bool:
    kinds = (models.CharField, models.TextField)
    return isinstance(field, kinds) and not field.choices and field.name not in SHAPED


def document(field: models.Field, payloads: Any) -> Any:
    """What a JSON column may hold of texts; None: it has a shape that code reads again."""
    if field.name in LISTS:
        return [next(payloads) for _ in range(3)]
    if field.name in OBJECTS or str(field) in OBJECTS:
        return {next(payloads): next(payloads)}
    return None


def fill(row: models.Model, payloads: Any, *, before: str = "") -> None:
    """Past all checks: what is in the database may be older than they are."""
    changes = {
        field.attname: before + written(payloads, min(field.max_length or 1_500, 1_500) - len(before))
        for field in row._meta.concrete_fields
        if is_text(field) and (field.max_length or 1_500) > 8
    }
    documents = [field for field in row._meta.concrete_fields if isinstance(field, models.JSONField)]
    found = {field.attname: document(field, payloads) for field in documents}
    changes |= {name: value for name, value in found.items() if value is not None}
    if isinstance(row, Record):  # which nobody changes: another one
        kept = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
        said = {"action": "key.updated", "before": None, "after": {text: text for text in changes.values()}}
        Record.objects.create(**{**kept, **changes, **said, "id": None})
    elif changes and not isinstance(row, Entry):
        for name, text in changes.items():
            with contextlib.suppress(IntegrityError), transaction.atomic():  # a constraint gives it a shape
                type(row)._base_manager.filter(pk=row.pk).update(**{name: text})


@pytest.fixture
def spoilt(rows):
    """A row of every table of ours."""
    payloads = itertools.cycle(PAYLOADS)
    for model in apps.get_models():
        row = rows.get(model) or model._base_manager.first()
        if row is not None and model._meta.app_label not in ("contenttypes", "auth", "sessions", "axes"):
            fill(row, payloads)
    return {**rows, Record: Record.objects.latest("pk"), Entry: called(rows, payloads)}


def called(rows: Any, payloads: Any, *, before: str = "") -> Entry:
    """A call, of which programs and providers say what they like."""
    key, deployment = rows[Key], rows[Deployment]
    said = {
        name: before + written(payloads, 40) for name in ("credential", "model_name", "upstream_model", "user_agent")
    }
    call = intent(
        **{"tenant_id": key.tenant_id, "project_id": key.project_id, "key_id": key.pk, "model_id": deployment.model_id},
        **{"provider_id": deployment.provider_id, "deployment_id": deployment.pk, "user_id": key.user_id, **said},
    )
    told = {"error_code": before + written(payloads, 50), "trail": (before + written(payloads, 200), "chose it")}
    ledger.post([outcome(call, cost=105_000, **told)])
    return Entry.objects.get(error_code=told["error_code"])


def shown(desk: Desk, name: str, *arguments: Any, **query: Any) -> int:
    """How often a page shows what was written."""
    response = desk.get(name, *arguments, **query)
    assert response.status_code in (200, 302, 403), (name, response.status_code)
    if response.status_code != 200:
        return 0
    reader = AdminReader()
    reader.feed(response.content.decode())
    assert reader.wrong == [], (name, query)
    return reader.seen


@pytest.mark.parametrize("group", range(GROUPS))
def test_what_was_written_is_text_on_every_page(group, desk, spoilt, figure):
    for model in MODELS[group::GROUPS]:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        seen = shown(desk, f"{name}_changelist") + sum(
            shown(desk, f"{name}_{page}", spoilt[model].pk) for page in PAGES
        )
        assert seen or model._meta.label in SILENT, model
    texts = sum(is_text(field) for model in MODELS[group::GROUPS] for field in model._meta.concrete_fields)
    figure(
        "F30",
        f"texts of tables of the admin, group {group}, × {len(PAYLOADS)} payloads",
        texts * len(PAYLOADS),
        least=1,
    )


def test_what_was_written_is_text_on_the_first_page_and_where_calls_are_explained(desk, spoilt):
    assert shown(desk, "index") > 0
    assert shown(desk, "explain") > 0


def test_popups_show_it_as_text_too(desk, spoilt):
    for model in (Tenant,):
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        assert shown(desk, f"{name}_changelist", _popup="1") > 0
        assert shown(desk, f"{name}_change", spoilt[model].pk, _popup="1") > 0


def test_what_a_search_finds_is_data(desk, spoilt):
    """Who searches a list is answered in JSON, which no browser takes for a page."""
    seen = 0
    for model in MODELS:
        for name in admin.site._registry[model].autocomplete_fields:
            asked = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": name}
            found = desk.get("autocomplete", **asked, term="")
            assert found["Content-Type"] == "application/json"
            assert found["X-Content-Type-Options"] == "nosniff"
            seen += sum(MARK in row["text"] for row in found.json()["results"])
    assert seen > 10
    for asked in (MARK, PAYLOADS[0], "key"):
        assert shown(desk, "search", s=asked, extended="1") == 0, "it finds pages, and says nothing again"


def test_no_file_holds_a_formula(desk, rows, figure):
    payloads = itertools.cycle(PAYLOADS)
    lists = [model for model in MODELS if admin.site._registry[model].downloaded]
    assert len(lists) >= 5
    for sign in FORMULAS:
        for model in lists:
            fill(rows[model], payloads, before=f"{sign}1+1 ")
            if model is Entry:
                called(rows, payloads, before=f"{sign}1+1 ")
            page = desk.url(f"{model._meta.app_label}_{model._meta.model_name}_changelist")
            response = desk.client.get(f"{page}download.csv", {"since": "all"})
            cells = [cell for row in csv.reader(io.StringIO(b"".join(response).decode("utf-8-sig"))) for cell in row]
            assert not [cell for cell in cells if cell.startswith(FORMULAS) and "1+1" in cell], (model, sign)
    figure("F30", "lists of the admin that are taken away × signs of formulas", len(lists) * len(FORMULAS), least=50)
