"""Adding a provider: whose, what that vendor needs, and what is kept of it."""

from __future__ import annotations

import re

import pytest
from django.conf import settings

from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork, Credential, Provider
from apps.catalog.provider_forms import QUIRKS
from apps.domain.providers import registry
from tests import factories
from tests.control.desk import Desk, errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ADD = "catalog_provider_add"
SECRET = "sk-ant-a-secret-of-the-provider"
USUAL = {"name", "base_url", "tags", "is_enabled", "on_disconnect", "check_interval_seconds", "max_failures", "secret"}
TIMES = {"connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"}


def add(desk: Desk, vendor: str, **values):
    return desk.send(ADD, query={"vendor": vendor}, **values)


def actions(*, by) -> list[str]:
    return list(Record.objects.filter(actor_id=by.pk).order_by("pk").values_list("action", flat=True))


def test_one_begins_by_choosing_whose_it_is(desk):
    text = desk.text(ADD)
    for vendor in registry.VENDORS.values():
        assert f'href="?vendor={vendor.slug}"' in text
        assert vendor.label in text
    assert 'name="name"' not in text
    assert "Whose service is it?" in desk.text(ADD, vendor="nobody")


def test_the_documents_name_each_switch_as_the_form_does():
    page = (settings.BASE_DIR / "docs/providers.md").read_text(encoding="utf-8")
    _, _, listed = page.partition("### The switches")
    assert re.findall(r"^- `(\w+)`: (.+)$", listed, re.MULTILINE) == QUIRKS


def test_a_popup_stays_one(desk):
    assert 'href="?vendor=openai&amp;_popup=1&amp;_to_field=id"' in desk.text(ADD, _popup="1", _to_field="id")


@pytest.mark.parametrize("vendor", registry.VENDORS.values(), ids=registry.VENDORS)
def test_no_more_is_asked_for_than_the_vendor_needs(vendor, desk):
    asked = set(desk.form(ADD, vendor=vendor.slug)) - USUAL - TIMES - {"s"}  # the search of the menu
    asked = {name for name in asked if not name.startswith(("_", "initial-", "tags"))}
    options = {f"option_{option.name}" for option in vendor.options}
    several = {"protocol"} if len(vendor.protocols) > 1 and vendor.slug != "bedrock" else set()
    assert asked - {"quirks"} == options | several
    page = desk.text(ADD, vendor=vendor.slug)
    assert ("Differs from OpenAI in" in page) is ("openai_chat" in vendor.protocols)
    is_elsewhere = bool(vendor.base_url and vendor.needs_key)
    assert (page.index('name="base_url"') > page.index('name="secret"')) is is_elsewhere


def test_the_name_is_filled_in_and_free(desk):
    assert desk.form(ADD, vendor="openai")["name"] == "OpenAI"
    factories.provider("OpenAI")
    assert desk.form(ADD, vendor="openai")["name"] == "OpenAI 2"


def test_a_key_is_all_that_most_vendors_need(desk):
    response = add(desk, "anthropic", secret=SECRET)
    provider = Provider.objects.get()
    assert response["location"] == desk.url("catalog_provider_test_connection", provider.pk)
    assert (provider.name, provider.vendor, provider.protocol) == ("Anthropic", "anthropic", "anthropic_messages")
    assert (provider.base_url, provider.quirks, provider.options) == ("https://api.anthropic.com", None, {})
    credential = Credential.objects.get()
    assert (credential.alias, credential.last_four, credential.host) == ("main", SECRET[-4:], "api.anthropic.com")
    assert actions(by=desk.user) == ["provider.created", "credential.created", "credential.secret_set"]
    assert SECRET not in desk.text("catalog_provider_test_connection", provider.pk)


def test_options_become_part_of_the_address(desk):
    assert add(desk, "azure_openai", secret=SECRET, option_resource="acme").status_code == 302
    provider = Provider.objects.get()
    assert provider.base_url == "https://acme.openai.azure.com/openai/v1"
    assert provider.options == {"resource": "acme"}
    assert provider.tags == ["cloud"]


def test_another_resource_is_at_another_address_and_its_key_is_erased(desk):
    add(desk, "azure_openai", secret=SECRET, option_resource="acme")
    provider = Provider.objects.get()
    changed = {"option_resource": "globex", "option_api_version": "2024-10-21"}
    assert desk.send("catalog_provider_change", provider.pk, **changed).status_code == 302
    provider.refresh_from_db()
    assert provider.base_url == "https://globex.openai.azure.com/openai/v1"
    assert provider.options == {"resource": "globex", "api_version": "2024-10-21"}
    assert Credential.objects.get().ciphertext == ""


def test_an_address_that_was_typed_stays_whatever_the_options_are(desk):
    own = "https://proxy.example/openai/v1"
    add(desk, "azure_openai", secret=SECRET, option_resource="acme", base_url=own)
    provider = Provider.objects.get()
    desk.send("catalog_provider_change", provider.pk, option_resource="globex")
    provider.refresh_from_db()
    assert (provider.base_url, provider.options["resource"]) == (own, "globex")


def test_what_differs_from_the_vendors_dialect_is_kept_only_where_it_does(desk):
    own = {"base_url": "https://llm.example/v1", "quirks": ["string_system", "no_stream_usage"]}
    add(desk, "openai_compatible", **own)
    provider = Provider.objects.get()
    assert provider.quirks == ["string_system", "no_stream_usage"]
    assert desk.send("catalog_provider_change", provider.pk, tags="x").status_code == 302
    provider.refresh_from_db()
    assert provider.quirks == ["string_system", "no_stream_usage"]
    desk.send("catalog_provider_change", provider.pk, quirks=[])
    provider.refresh_from_db()
    assert provider.quirks is None


def test_a_vendors_habits_can_be_unticked(desk):
    add(desk, "openai", secret=SECRET, quirks=["developer_role"])
    assert Provider.objects.get().quirks == ["developer_role"]


def test_every_quirk_of_a_vendor_can_be_ticked(desk):
    page = desk.text(ADD, vendor="openai_compatible")
    for vendor in registry.VENDORS.values():
        for quirk in vendor.quirks:
            assert f'value="{quirk}"' in page, quirk


@pytest.mark.parametrize(
    ("vendor", "wrong", "field"),
    [
        ("anthropic", {"secret": ""}, "secret"),
        ("anthropic", {"secret": "sk-ünïcode"}, "secret"),
        ("anthropic", {"name": ""}, "name"),
        ("anthropic", {"base_url": "http://127.0.0.1:8000"}, "base_url"),
        ("zai", {"protocol": "ollama_chat"}, "protocol"),
        ("zai", {"option_plan": "golden"}, "option_plan"),
        ("azure_openai", {"option_resource": ""}, "option_resource"),
        ("azure_openai", {"option_resource": "evil.example/?x="}, "option_resource"),
        ("azure_openai", {"option_resource": "acme", "option_api_version": "1&x"}, "option_api_version"),
        ("openai_compatible", {}, "base_url"),
        ("openai_compatible", {"base_url": "https://a.example", "quirks": ["flying"]}, "quirks"),
        ("vllm", {"base_url": "http://10.1.2.3:8000"}, "base_url"),
    ],
)
def test_what_is_wrong_is_told_at_its_field_and_nothing_is_kept(vendor, wrong, field, desk):
    response = add(desk, vendor, **{"secret": SECRET, **wrong})
    assert list(errors(response)) == [field]
    assert not Provider.objects.exists()
    assert not Credential.objects.exists()
    assert SECRET not in response.content.decode()


def test_a_server_of_ones_own_needs_no_key(desk):
    AllowedNetwork.objects.create(cidr="10.0.0.0/8")
    assert add(desk, "vllm", base_url="http://10.1.2.3:8000/v1").status_code == 302
    assert Provider.objects.get().protocol == "openai_chat"
    assert not Credential.objects.exists()


def test_only_who_may_add_providers_is_offered_any():
    desk = Desk(factories.staff("catalog.view_provider", "catalog.change_provider"))
    for query in ({}, {"vendor": "openai"}):
        assert desk.get(ADD, **query).status_code == 403
    assert desk.client.post(f"{desk.url(ADD)}?vendor=openai", {"name": "x", "secret": SECRET}).status_code == 403
    assert not Provider.objects.exists()


def test_who_may_add_no_credential_is_not_asked_for_one():
    desk = Desk(factories.staff("catalog.view_provider", "catalog.add_provider"))
    assert 'name="secret"' not in desk.text(ADD, vendor="openai")
    response = add(desk, "openai", secret=SECRET)
    assert response["location"] == desk.url("catalog_provider_changelist")
    assert Provider.objects.get().name == "OpenAI"
    assert not Credential.objects.exists()


def test_who_may_only_look_sees_what_was_told_of_each_vendor():
    desk = Desk(factories.staff("catalog.view_provider"))
    for vendor in registry.VENDORS.values():
        options = {option.name: "told-here" for option in vendor.options}
        home = {"protocol": vendor.protocols[0], "base_url": "https://a.example"}
        provider = factories.provider(vendor=vendor.slug, options=options, quirks=["string_system"], **home)
        page = desk.text("catalog_provider_change", provider.pk)
        assert ("told-here" in page) is bool(options)
        assert ("string_system" in page) is ("openai_chat" in vendor.protocols)


def test_saving_a_provider_as_it_is_changes_nothing(desk):
    for vendor in registry.VENDORS.values():
        home = {"protocol": vendor.protocols[0], "base_url": f"https://{vendor.slug.replace('_', '-')}.example"}
        provider = factories.provider(vendor=vendor.slug, options={"of_old": "kept"}, **home)
        before = Record.objects.count()
        options = {f"option_{option.name}": "word" for option in vendor.options if option.required}
        assert desk.send("catalog_provider_change", provider.pk, **options).status_code == 302, vendor.slug
        provider.refresh_from_db()
        assert provider.options["of_old"] == "kept"
        assert (provider.quirks, provider.base_url) == (None, home["base_url"])
        assert Record.objects.count() == before + bool(options)
