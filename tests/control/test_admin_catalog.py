"""Providers, models and prices in the admin."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork, Credential, Deployment, Model, Price, Provider
from tests import factories
from tests.control.desk import errors
from tests.servers import start_simulator

pytestmark = pytest.mark.django_db
SECRET = "sk-ant-a-secret-of-the-provider"
ANTHROPIC = "https://api.anthropic.com"


@pytest.fixture
def provider(db) -> Provider:
    return factories.provider("Somewhere", base_url=ANTHROPIC)


@pytest.fixture
def sealed(provider) -> Credential:
    return factories.credential(provider, secret=SECRET, alias="main")


def actions(*, by) -> list[str]:
    return list(Record.objects.filter(actor_id=by.pk).order_by("pk").values_list("action", flat=True))


# --- providers ---------------------------------------------------------------------------------------------------


def test_a_provider_is_added_at_its_vendors_own_address(desk):
    response = desk.send("catalog_provider_add", name="Claude", vendor="anthropic", base_url="", tags="eu, fast")
    assert response.status_code == 302
    provider = Provider.objects.get()
    assert (provider.base_url, provider.protocol, provider.tags) == (ANTHROPIC, "anthropic_messages", ["eu", "fast"])
    assert actions(by=desk.user) == ["provider.created"]


def test_the_form_knows_what_to_fill_in_for_each_vendor(desk):
    text = desk.text("catalog_provider_add")
    assert "data-vendors=" in text
    assert "https://api.openai.com/v1" in text
    assert "/static/admin/provider.js" in text
    assert "<script>" not in text.split('id="provider_form"')[1].split("</form>")[0]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"vendor": "nobody"}, "vendor"),
        ({"vendor": "openai"}, "protocol"),
        ({"vendor": "anthropic_compatible", "base_url": ""}, "base_url"),
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"base_url": "http://169.254.169.254/latest"}, "base_url"),
        ({"base_url": "http://127.0.0.1:8000"}, "base_url"),
        ({"base_url": "not an address"}, "base_url"),
        ({"tags": "twice, twice"}, "tags"),
        ({"idle_timeout": "0"}, "idle_timeout"),
        ({"idle_timeout": "forever"}, "idle_timeout"),
        ({"max_failures": "0"}, "max_failures"),
    ],
)
def test_what_a_provider_cannot_be_is_told_at_its_field(wrong, field, desk):
    response = desk.send("catalog_provider_add", **({"name": "Claude", "base_url": ANTHROPIC} | wrong))
    assert list(errors(response)) == [field]
    assert not Provider.objects.exists()


def test_where_a_private_network_is_opened_is_told_and_linked(desk):
    at = {"protocol": "openai_chat", "base_url": "http://10.1.2.3/v1"}
    response = desk.send("catalog_provider_add", name="Own", vendor="openai_compatible", **at)
    (told,) = errors(response)["base_url"]
    assert told.startswith("10.1.2.3 ")
    assert "Routing → Allowed networks" in told
    assert f'href="{desk.url("catalog_allowednetwork_changelist")}" target="_blank"' in response.content.decode()


def test_a_change_is_recorded(desk, provider):
    assert desk.send("catalog_provider_change", provider.pk, tags="eu", idle_timeout="30").status_code == 302
    record = Record.objects.latest("pk")
    assert (record.action, record.actor_id) == ("provider.updated", desk.user.pk)
    assert record.after == {"tags": ["eu"], "idle_timeout": 30.0}


def test_providers_are_enabled_and_disabled_from_the_list(desk, provider):
    desk.act("catalog_provider_changelist", "disable", provider)
    provider.refresh_from_db()
    assert not provider.is_enabled
    assert "Enabled: 1." in desk.act("catalog_provider_changelist", "enable", provider).content.decode()
    assert actions(by=desk.user) == ["provider.updated", "provider.updated"]


def test_a_provider_with_deployments_is_kept_and_the_reason_told(desk, provider):
    factories.deployment(at=provider)
    response = desk.client.post(desk.url("catalog_provider_delete", provider.pk), {"post": "yes"}, follow=True)
    assert "disable it instead" in response.content.decode()
    assert Provider.objects.exists()


def test_a_provider_that_nothing_names_is_deleted_and_that_is_recorded(desk, provider):
    assert desk.client.post(desk.url("catalog_provider_delete", provider.pk), {"post": "yes"}).status_code == 302
    assert not Provider.objects.exists()
    assert actions(by=desk.user) == ["provider.deleted"]


# --- credentials -------------------------------------------------------------------------------------------------


def row(number: int = 0, **values) -> dict[str, object]:
    return {f"credentials-{number}-{name}": value for name, value in values.items()}


def test_a_credential_is_added_with_its_provider(desk):
    assert (
        desk.send(
            "catalog_provider_add", name="Claude", base_url=ANTHROPIC, **row(alias="main", secret=SECRET)
        ).status_code
        == 302
    )
    credential = Credential.objects.get()
    assert (credential.alias, credential.last_four, credential.host) == ("main", SECRET[-4:], "api.anthropic.com")
    assert actions(by=desk.user) == ["provider.created", "credential.created", "credential.secret_set"]


def test_a_secret_never_comes_back(desk, provider, sealed):
    for page, arguments in (
        *(("catalog_provider_change", [provider.pk]), ("catalog_provider_history", [provider.pk])),
        *(("catalog_provider_changelist", []), ("audit_record_changelist", []), ("index", [])),
    ):
        assert SECRET not in desk.text(page, *arguments), page
    refused = desk.send("catalog_provider_change", provider.pk, name="", **row(secret="sk-typed-just-now"))
    assert "name" in errors(refused)
    assert "sk-typed-just-now" not in refused.content.decode()
    assert not [record for record in Record.objects.all() if SECRET in str((record.before, record.after))]


def test_an_empty_secret_keeps_the_present_one(desk, provider, sealed):
    assert desk.send("catalog_provider_change", provider.pk, **row(weight="7")).status_code == 302
    before, _ = sealed.ciphertext, sealed.refresh_from_db()
    assert (sealed.ciphertext, sealed.weight) == (before, 7)
    assert actions(by=desk.user) == ["credential.updated"]


def test_a_secret_is_replaced(desk, provider, sealed):
    before = sealed.ciphertext
    assert desk.send("catalog_provider_change", provider.pk, **row(secret="sk-another-secret-0123")).status_code == 302
    sealed.refresh_from_db()
    assert sealed.ciphertext != before
    assert sealed.last_four == "0123"
    assert actions(by=desk.user) == ["credential.secret_set"]


def test_a_secret_that_cannot_be_one_is_told_at_the_form(desk, provider, sealed):
    before = sealed.ciphertext
    response = desk.send("catalog_provider_change", provider.pk, name="Renamed", **row(secret="sk-ünïcode"))
    assert errors(response) == {"": ["Renamed · main: A secret is one line of ASCII characters."]}
    provider.refresh_from_db()
    sealed.refresh_from_db()
    assert (provider.name, sealed.ciphertext) == ("Somewhere", before)


def test_an_alias_given_twice_is_told_at_its_row(desk, provider, sealed):
    response = desk.send(
        "catalog_provider_change", provider.pk, **{"credentials-TOTAL_FORMS": 2}, **row(1, alias="main", weight=1)
    )
    assert errors(response)
    assert Credential.objects.count() == 1


def test_a_credential_stays_with_its_tenant(desk, provider, acme, globex):
    own = factories.credential(provider, tenant=acme, alias="own")
    desk.send("catalog_provider_change", provider.pk, **row(tenant=globex.pk, weight="3"))
    own.refresh_from_db()
    assert (own.tenant, own.weight) == (acme, 3)


def test_a_credential_is_deleted(desk, provider, sealed):
    assert desk.send("catalog_provider_change", provider.pk, **row(DELETE="on")).status_code == 302
    assert not Credential.objects.exists()
    assert actions(by=desk.user) == ["credential.deleted"]


def test_another_host_erases_the_secrets_and_says_so(desk, provider, sealed):
    elsewhere = {"vendor": "anthropic_compatible", "base_url": "https://elsewhere.example"}
    assert desk.send("catalog_provider_change", provider.pk, **elsewhere).status_code == 302
    assert "Credentials without a secret now: 1." in desk.text("catalog_provider_changelist")
    sealed.refresh_from_db()
    assert (sealed.ciphertext, sealed.last_four) == ("", "")
    assert actions(by=desk.user) == ["provider.updated", "credential.erased"]


# --- testing a connection ----------------------------------------------------------------------------------------


def test_a_connection_is_tested_against_a_real_server(desk, tmp_path):
    simulator = start_simulator(tmp_path)
    try:
        AllowedNetwork.objects.create(cidr="127.0.0.0/8")
        provider = factories.provider("Near", vendor="simulated", base_url=simulator.base_url)
        factories.credential(provider)
        factories.deployment(at=provider, upstream_model="not-on-its-list")
        asked = desk.text("catalog_provider_test_connection", provider.pk)
        assert "Test now" in asked
        assert simulator.calls() == []
        text = desk.client.post(desk.url("catalog_provider_test_connection", provider.pk)).content.decode()
    finally:
        simulator.stop()
    provider.refresh_from_db()
    for shown in ("works", "200", f"{provider.last_check_ms} ms", "not-on-its-list", "Test again"):
        assert shown in text, shown
    failed = desk.client.post(desk.url("catalog_provider_test_connection", provider.pk)).content.decode()
    assert "fails" in failed
    assert "no answer" in failed


def test_a_provider_that_is_not_there_cannot_be_tested(desk):
    assert desk.get("catalog_provider_test_connection", 987_654).status_code == 404


# --- networks ----------------------------------------------------------------------------------------------------


def test_networks_are_opened_and_closed(desk):
    assert desk.send("catalog_allowednetwork_add", cidr="10.0.0.0/8", note="the office").status_code == 302
    network = AllowedNetwork.objects.get()
    assert desk.client.post(desk.url("catalog_allowednetwork_delete", network.pk), {"post": "yes"}).status_code == 302
    assert not AllowedNetwork.objects.exists()
    assert actions(by=desk.user) == ["network.allowed", "network.forbidden"]


@pytest.mark.parametrize("cidr", ["", "0.0.0.0/0", "8.8.8.0/24", "10.0.0.1/8", "everything"])
def test_a_public_network_is_not_opened(cidr, desk):
    assert list(errors(desk.send("catalog_allowednetwork_add", cidr=cidr))) == ["cidr"]


# --- models and deployments --------------------------------------------------------------------------------------


def test_a_model_is_added_with_words_boxes_tenants_and_a_deployment(desk, provider, acme):
    response = desk.send(
        "catalog_model_add",
        **{"name": "claude", "aliases": "sonnet, claude-latest", "capabilities": ["structured_outputs", "effort_low"]},
        **{"tenants": [acme.pk], "deployments-0-provider": provider.pk, "deployments-0-upstream_model": "claude-4"},
    )
    assert response.status_code == 302, errors(response)
    model = Model.objects.get()
    assert model.aliases == ["sonnet", "claude-latest"]
    assert model.capabilities == ["structured_outputs", "effort_low"]
    assert list(model.tenants.all()) == [acme]
    assert model.deployments.get().upstream_model == "claude-4"
    assert actions(by=desk.user) == ["model.created", "model.tenants_set", "deployment.created"]
    assert desk.form("catalog_model_change", model.pk)["aliases"] == "sonnet, claude-latest"


def test_saving_a_model_as_it_is_changes_nothing_and_loses_no_word(desk):
    model = factories.model(aliases=["other"], capabilities=["structured_outputs", "of_its_own"])
    before = Record.objects.count()
    assert desk.send("catalog_model_change", model.pk).status_code == 302
    model.refresh_from_db()
    assert model.capabilities == ["structured_outputs", "of_its_own"]
    assert Record.objects.count() == before


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "two words"}, "name"),
        ({"name": "taken"}, "name"),
        ({"aliases": "taken"}, "aliases"),
        ({"aliases": "new"}, "aliases"),
        ({"aliases": "a name"}, "aliases"),
        ({"capabilities": ["flying"]}, "capabilities"),
        ({"context_tokens": "0"}, "context_tokens"),
    ],
)
def test_what_a_model_cannot_be_is_told_at_its_field(wrong, field, desk):
    factories.model("taken")
    assert list(errors(desk.send("catalog_model_add", **({"name": "new"} | wrong)))) == [field]


def test_models_and_deployments_are_switched_from_their_lists(desk):
    deployment = factories.deployment()
    for page, row_ in (("catalog_model", deployment.model), ("catalog_deployment", deployment)):
        for action, state in (("disable", False), ("enable", True)):
            desk.act(f"{page}_changelist", action, row_)
            row_.refresh_from_db()
            assert row_.is_enabled is state
    assert actions(by=desk.user) == ["model.updated"] * 2 + ["deployment.updated"] * 2


def test_a_deployment_stays_at_its_provider(desk):
    deployment = factories.deployment()
    other = factories.provider("Other")
    assert desk.send("catalog_deployment_change", deployment.pk, provider=other.pk, weight="9").status_code == 302
    stored = Deployment.objects.get()
    assert (stored.provider, stored.weight) == (deployment.provider, 9)


def test_models_with_deployments_and_deployments_are_kept(desk):
    deployment = factories.deployment()
    for page, row_ in (("catalog_model", deployment.model), ("catalog_deployment", deployment)):
        response = desk.client.post(desk.url(f"{page}_delete", row_.pk), {"post": "yes"}, follow=True)
        assert "disable it instead" in response.content.decode()
    assert Deployment.objects.exists()


# --- prices ------------------------------------------------------------------------------------------------------


def new_price(desk, deployment, **values):
    return desk.send("catalog_price_add", deployment=deployment.pk, **({"input": "3", "output": "15"} | values))


def test_a_price_is_typed_in_dollars_and_kept_in_nano_dollars(desk):
    deployment = factories.deployment()
    assert new_price(desk, deployment, input="0.125", cache_read="0.0125").status_code == 302
    price = Price.objects.get()
    assert (price.input, price.output) == (125_000_000, 15_000_000_000)
    assert (price.cache_read, price.cache_write_5m) == (12_500_000, 125_000_000)
    text = desk.text("catalog_price_change", price.pk)
    assert "$0.125" in text
    assert "$0.0125" in text
    assert actions(by=desk.user) == ["price.set"]


def test_the_deployments_page_leads_to_a_price_for_it(desk):
    deployment = factories.deployment()
    response = desk.client.get(desk.url("catalog_deployment_add_price", deployment.pk), follow=True)
    assert f'<option value="{deployment.pk}" selected' in response.content.decode()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"input": ""}, "input"),
        ({"input": "-1"}, "input"),
        ({"input": "three"}, "input"),
        ({"input": "NaN"}, "input"),
        ({"input": "99999999999"}, "input"),
        ({"output": "0.0000000001"}, "output"),
        ({"effective_from_0": "2001-01-01"}, "effective_from"),
        ({"effective_from_0": "never"}, "effective_from"),
    ],
)
def test_what_a_price_cannot_be_is_told_at_its_field(wrong, field, desk):
    price = factories.price()
    response = new_price(desk, price.deployment, **wrong)
    assert list(errors(response)) == [field]
    assert Price.objects.count() == 1


def test_a_past_price_is_corrected_by_another_one(desk):
    wrong = factories.price(effective_from=timezone.now() - datetime.timedelta(days=3), input=10**9)
    began = {"effective_from_0": f"{wrong.effective_from:%Y-%m-%d}", "effective_from_1": "00:00:00"}
    assert errors(new_price(desk, wrong.deployment, **began))
    assert new_price(desk, wrong.deployment, **began, is_correction="on").status_code == 302
    right = Price.objects.latest("pk")
    assert right.effective_from.date() == wrong.effective_from.date()
    assert actions(by=desk.user) == ["price.corrected"]
    factories.price(wrong.deployment, effective_from=wrong.effective_from, is_correction=True)
    assert desk.text("catalog_price_changelist").count("in force<") == 1


def test_a_price_that_is_set_cannot_be_edited(desk):
    price = factories.price()
    assert 'name="input"' not in desk.text("catalog_price_change", price.pk)
    response = desk.client.post(desk.url("catalog_price_change", price.pk), {"input": "1", "output": "1"})
    assert response.status_code == 403
    price.refresh_from_db()
    assert price.input == 3_000_000_000


def test_a_price_in_force_stays_and_one_to_come_is_withdrawn(desk):
    price = factories.price()
    later = factories.price(price.deployment, effective_from=timezone.now() + datetime.timedelta(days=1))
    refused = desk.client.post(desk.url("catalog_price_delete", price.pk), {"post": "yes"}, follow=True)
    assert "set a new one" in refused.content.decode()
    assert desk.client.post(desk.url("catalog_price_delete", later.pk), {"post": "yes"}).status_code == 302
    assert list(Price.objects.all()) == [price]
    assert actions(by=desk.user) == ["price.withdrawn"]


def test_the_list_says_which_price_is_in_force(desk):
    now = timezone.now()
    deployment = factories.deployment()
    for days in (-9, 0, 9):
        Price.objects.create(
            deployment=deployment,
            effective_from=now + datetime.timedelta(days=days),
            **dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), 1),
        )
    text = desk.text("catalog_price_changelist")
    assert [text.count(f">{state}<") for state in ("past", "in force", "to come")] == [1, 1, 1]
    factories.deployment()
    assert desk.text("catalog_deployment_changelist").count(">no price<") == 1
