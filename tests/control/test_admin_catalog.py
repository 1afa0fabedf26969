"""Providers and models in the admin."""

from __future__ import annotations

import pytest

from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork, Credential, Deployment, Model, Provider
from tests import factories
from tests.control.desk import errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]
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


def test_the_form_knows_what_to_fill_in_for_each_vendor(desk, provider):
    text = desk.text("catalog_provider_change", provider.pk)
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
def test_what_a_provider_cannot_be_is_told_at_its_field(wrong, field, desk, provider):
    response = desk.send("catalog_provider_change", provider.pk, **wrong)
    assert list(errors(response)) == [field]
    provider.refresh_from_db()
    assert (provider.name, provider.base_url, provider.tags) == ("Somewhere", ANTHROPIC, [])


def test_where_a_private_network_is_opened_is_told_and_linked(desk, provider):
    at = {"protocol": "openai_chat", "base_url": "http://10.1.2.3/v1"}
    response = desk.send("catalog_provider_change", provider.pk, vendor="openai_compatible", **at)
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


def test_a_credential_is_added_on_its_providers_page(desk, provider):
    more = {"credentials-TOTAL_FORMS": 1, **row(alias="main", secret=SECRET, weight=1, is_enabled="on")}
    assert desk.send("catalog_provider_change", provider.pk, **more).status_code == 302
    credential = Credential.objects.get()
    assert (credential.alias, credential.last_four, credential.host) == ("main", SECRET[-4:], "api.anthropic.com")
    assert actions(by=desk.user) == ["credential.created", "credential.secret_set"]


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
        ({"capabilities": ["text", "embeddings"]}, "capabilities"),
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
