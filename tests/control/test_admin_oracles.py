"""No list of the admin answers whether a stored secret begins with something, and no export holds one in clear."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import RequestFactory
from django.urls import reverse

from apps.audit.redaction import is_secret
from apps.catalog.models import Credential
from apps.domain import keys as format_of_keys
from apps.keys.models import Key, KeySecret
from tests import factories
from tests.control.desk import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F25")]
SECRET = "sk-ant-canary-0123456789abcdef"


def oracles():
    """(model, look-up) for every secret column that can be spelled from a model that has a list, three steps away."""
    found = []
    for model in admin.site._registry:
        if not model._meta.label.startswith("django"):
            found += [(model, lookup) for lookup in _spelled(model, depth=3)]
    return found


def _spelled(model, *, depth):
    for field in model._meta.get_fields():
        if getattr(field, "concrete", False) and is_secret(field.name) and not field.is_relation:
            yield field.name
        elif depth > 1 and field.is_relation and field.related_model is not None:
            for rest in _spelled(field.related_model, depth=depth - 1):
                yield f"{field.name}__{rest}"  # of a reverse relation: what queries call it


def test_the_columns_are_found():
    spelled = {(model.__name__, lookup) for model, lookup in oracles()}
    assert {("Provider", "credentials__ciphertext"), ("Key", "secrets__digest"), ("User", "password")} <= spelled
    assert len(spelled) > 20


@pytest.mark.parametrize("ending", ["__startswith", "", "__gt", "__isnull"])
def test_no_list_filters_by_a_secret_column(desk, ending):
    assert desk.get("accounts_user_changelist", username__startswith="a").status_code == 200  # others are answered
    answered = []
    for model, lookup in oracles():
        meta = model._meta
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        response = desk.client.get(url, {f"{lookup}{ending}": "1"})
        refused = response.status_code == 400 or (response.status_code == 302 and response["location"].endswith("?e=1"))
        if not refused:
            answered.append((meta.label, lookup, response.status_code))
    assert answered == []


def test_no_list_shows_searches_sorts_or_offers_a_secret_column():
    """As its class says; what somebody may ask of it besides, the tests above and below try."""
    spoken = []
    for model, registered in admin.site._registry.items():
        names = [
            *registered.list_display,
            *registered.search_fields,
            *(registered.ordering or ()),
            *registered.list_filter,
        ]
        names += [*registered.get_autocomplete_fields(None), registered.date_hierarchy or ""]
        names += [getattr(getattr(registered, str(name), None), "admin_order_field", "") for name in names]
        for name in names:
            words = str(name[0] if isinstance(name, tuple) else name).lstrip("-^=@").split("__")
            is_told = not words[0].startswith("shown_")  # in words of its own: that there is one, or how it ends
            spoken += [(model._meta.label, name) for word in words if is_told and is_secret(word)]
    assert spoken == []


def test_searching_says_nothing_of_what_is_stored(desk, website):
    factories.credential(secret=SECRET)
    factories.key(website)
    stored = [Credential.objects.get().ciphertext[:30], bytes(KeySecret.objects.get().digest).hex(), desk.user.password]
    request = RequestFactory().get("/")
    request.user = desk.user
    found = []
    for model, registered in admin.site._registry.items():
        for term in (*stored, SECRET[:12]) if registered.search_fields else ():
            rows, _ = registered.get_search_results(request, model._default_manager.all(), term)
            found += [(model._meta.label, term)] if rows.exists() else []
    assert found == []


@pytest.mark.parametrize("page", ["catalog_credential", "keys_key", "accounts_user", "access_token"])
def test_no_order_tells_what_is_stored(desk, website, page):
    for _ in range(3):
        factories.credential(secret=SECRET)
        factories.key(website)
    usual = list(desk.get(f"{page}_changelist", o="99").context["cl"].result_list)
    for order in ("-99", "-ciphertext", "password"):
        assert list(desk.get(f"{page}_changelist", o=order).context["cl"].result_list) == usual


def test_an_export_holds_sealed_texts_only(website):
    credential = factories.credential(secret=SECRET)
    issued = factories.key(website)
    output = io.StringIO()
    call_command("dumpdata", stdout=output)
    rows = {(row["model"], str(row["pk"])): row["fields"] for row in json.loads(output.getvalue())}
    assert rows["catalog.credential", str(credential.pk)]["ciphertext"].startswith("v1.")
    assert format_of_keys.public_id(issued.plaintext) in output.getvalue()
    for canary in (SECRET, SECRET[7:], issued.plaintext, issued.plaintext[18:61]):
        assert canary not in output.getvalue()


def test_no_page_of_the_admin_names_a_stored_secret(desk, website):
    """Not even the sealed text or the digest: whoever could copy it could go on with it elsewhere."""
    credential = factories.credential(secret=SECRET)
    key = factories.key(website).key
    stored = [Credential.objects.get().ciphertext, bytes(KeySecret.objects.get().digest).hex()]
    pages = [
        ("catalog_provider_change", credential.provider.pk),
        ("catalog_credential_change", credential.pk),
        ("keys_key_change", key.pk),
    ]
    assert KeySecret not in admin.site._registry
    for page, pk in pages:
        text = desk.text(page, pk) + desk.text(page.replace("change", "history"), pk)
        assert [canary for canary in (SECRET, *stored) if canary in text] == []


def test_no_filter_tells_the_name_of_a_row_to_who_may_not_see_its_table(acme):
    """Ids can be counted up: each would tell another name."""
    chosen = acme.pk
    for page, model in (("policies_intervention", "policies.view_intervention"), ("keys_key", "keys.view_key")):
        asked = dict(zip(("app_label", "model_name"), page.split("_"), strict=True)) | {"field_name": "tenant"}
        for permissions, sees in (((model,), False), ((model, "tenants.view_tenant"), True)):
            desk = Desk(factories.staff(*permissions))
            text = desk.text(f"{page}_changelist", tenant__id__exact=chosen)
            assert (f'<option value="{chosen}" selected>' in text) == sees
            assert desk.client.get(reverse("admin:autocomplete"), asked).status_code == (200 if sees else 403)


@pytest.mark.attack("F27")
def test_whoever_may_look_at_one_table_learns_nothing_of_others_by_it(figure):
    """Not by what a choice offers, by another column to choose by, or by a filter that leads elsewhere."""
    looker, told, tried = Desk(factories.staff("keys.view_key")), [], 0
    for model, registered in admin.site._registry.items():
        asked = {"app_label": model._meta.app_label, "model_name": model._meta.model_name}
        for name in registered.autocomplete_fields:
            tried += 1
            answer = looker.get("autocomplete", **asked, field_name=name, term="")
            if answer.status_code != 403 and model._meta.get_field(name).related_model is not Key:
                told.append((model._meta.label, name, answer.status_code))
    page = looker.url("keys_key_changelist")
    for lookup in LEADING_ELSEWHERE:
        tried += 1
        answer = looker.client.get(page, {lookup: "a"})
        is_refused = answer.status_code == 400 or (answer.status_code == 302 and answer["location"].endswith("?e=1"))
        if not is_refused:
            told.append((lookup, answer.status_code))
    for column in ("secrets__digest", "tenant__slug", "user__password", "user", "public_id__startswith"):
        tried += 1
        if looker.client.get(page, {"_to_field": column, "_popup": "1"}).status_code not in (302, 400):
            told.append(("_to_field", column))
    assert told == []
    figure("F27", "choices and filters that lead to other tables", tried, least=30)


LEADING_ELSEWHERE = (
    *("tenant__memberships__user__email__startswith", "user__password__startswith", "user__email__startswith"),
    *("project__tenant__memberships__role", "secrets__digest__gt", "tenant__kept_secret__startswith"),
    *("tenant__projects__keys__name__startswith", "user__memberships__tenant__name__startswith"),
)
