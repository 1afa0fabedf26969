"""What the data plane is told of the catalog: everything that can be used, in a few queries."""

from __future__ import annotations

import datetime
import time

import pytest
from django.utils import timezone

from apps.catalog import selectors, services, vault
from apps.catalog.models import Credential, Provider
from apps.domain import pricing, snapshot
from tests import factories

pytestmark = pytest.mark.django_db
SECRET = "sk-ant-0123456789abcdef"


def compiled():
    return selectors.snapshot_models(int(time.time()))


def test_a_model_is_found_by_its_name_and_its_aliases(acme):
    row = factories.model(
        "claude",
        aliases=["claude-latest"],
        display_name="Claude",
        capabilities=["tools", "vision"],
        max_output_tokens=4096,
        context_tokens=100_000,
        tenants=[acme],
    )
    found = compiled()
    assert set(found) == {"claude", "claude-latest"}
    assert found["claude"] is found["claude-latest"]
    model = found["claude"]
    assert (model.id, model.name, model.display_name) == (row.pk, "claude", "Claude")
    assert (model.max_output_tokens, model.context_tokens) == (4096, 100_000)
    assert model.capabilities == {"tools", "vision"}
    assert model.tenant_ids == {acme.pk}
    assert model.created == int(row.created_at.timestamp())


def test_a_model_for_nobody_in_particular_is_everyones():
    factories.model("claude")
    assert (compiled()["claude"].tenant_ids, compiled()["claude"].display_name) == (None, "claude")


def test_who_needs_no_key_is_asked_without_one_until_it_is_given_one(acme):
    provider = factories.provider("Ollama", vendor="ollama", protocol="ollama_chat")
    strict = factories.provider("Anthropic")
    for name, row in (("local", provider), ("claude", strict)):
        factories.deployment(factories.model(name), row)

    def credentials(name):
        return [(found.id, found.alias) for found in compiled()[name].deployments[0].provider.credentials]

    assert credentials("local") == [(-provider.pk, "no key")]
    assert credentials("claude") == []
    own = factories.credential(provider, alias="own", secret=SECRET, tenant=acme)
    assert credentials("local") == [(own.pk, "own"), (-provider.pk, "no key")]
    shared = factories.credential(provider, alias="shared", secret=SECRET)
    assert credentials("local") == [(own.pk, "own"), (shared.pk, "shared")]
    Credential.objects.filter(pk=shared.pk).update(is_enabled=False)
    assert credentials("local") == [(own.pk, "own")]


def test_deployments_come_with_provider_credential_and_price(acme):
    provider = factories.provider(
        "Anthropic",
        on_disconnect="drain",
        connect_timeout=1,
        first_byte_timeout=2,
        idle_timeout=3,
        total_timeout=4,
        tags=["eu"],
    )
    shared = factories.credential(provider, alias="shared", secret=SECRET, weight=3)
    own = factories.credential(provider, alias="own", secret="their-own-secret-1", tenant=acme)
    model = factories.model("claude")
    second = factories.deployment(model, provider, upstream_model="claude-2", priority=2)
    first = factories.deployment(model, provider, upstream_model="claude-1", priority=1, weight=5)
    price = factories.price(first, input=3, output=15, cache_read=1, cache_write_5m=4, cache_write_1h=6)

    deployments = compiled()["claude"].deployments
    assert [(row.id, row.upstream_model, row.priority, row.weight) for row in deployments] == [
        (first.pk, "claude-1", 1, 5),
        (second.pk, "claude-2", 2, 1),
    ]
    (card,) = deployments[0].prices
    assert (card.version, card.input, card.output) == (price.pk, 3, 15)
    assert (card.cache_read, card.cache_write_5m, card.cache_write_1h) == (1, 4, 6)
    assert deployments[1].prices == ()

    found = deployments[0].provider
    assert (found.id, found.name, found.vendor, found.protocol) == (
        provider.pk,
        "Anthropic",
        "anthropic",
        "anthropic_messages",
    )
    assert (found.base_url, found.host) == ("https://api.anthropic.com", "api.anthropic.com")
    assert found.timeouts == snapshot.Timeouts(connect=1, first_byte=2, idle=3, total=4)
    assert (found.on_disconnect, found.tags, found.healthy) == ("drain", {"eu"}, True)
    assert [(row.id, row.alias, row.weight, row.tenant_id) for row in found.credentials] == [
        (shared.pk, "shared", 3, None),
        (own.pk, "own", 1, acme.pk),
    ]
    assert [row.secret.reveal_for(found.host) for row in found.credentials] == [SECRET, "their-own-secret-1"]
    with pytest.raises(ValueError, match="another host"):
        found.credentials[0].secret.reveal_for("evil.example")


def test_secrets_do_not_show_themselves_in_a_snapshot():
    factories.deployment(factories.model("claude"), factories.credential(secret=SECRET).provider)
    assert SECRET not in repr(compiled())


def test_what_is_disabled_is_left_out():
    provider, idle = factories.provider(), factories.provider()
    off = factories.credential(provider, alias="off")
    factories.credential(provider, alias="on")
    services.create_credential(provider, actor=None, alias="empty")
    model = factories.model("claude")
    kept = factories.deployment(model, provider)
    services.update_deployment(factories.deployment(model, provider), actor=None, is_enabled=False)
    factories.deployment(model, idle)
    services.disable_credential(off, actor=None)
    services.update_provider(idle, actor=None, is_enabled=False)
    services.update_model(factories.model("gone"), actor=None, is_enabled=False)

    found = compiled()
    assert set(found) == {"claude"}
    (deployment,) = found["claude"].deployments
    assert deployment.id == kept.pk
    assert [credential.alias for credential in deployment.provider.credentials] == ["on"]


def test_an_unhealthy_provider_is_still_told_of_and_marked():
    deployment = factories.deployment(factories.model("claude"))
    Provider.objects.filter(pk=deployment.provider_id).update(is_healthy=False)
    assert not compiled()["claude"].deployments[0].provider.healthy


def test_the_price_in_force_and_those_to_come_are_told_and_history_is_not():
    deployment = factories.deployment(factories.model("claude"))
    now = timezone.now()
    old = factories.price(deployment, input=1, effective_from=now - datetime.timedelta(days=2))
    current = factories.price(deployment, input=2, effective_from=now - datetime.timedelta(seconds=5))
    coming = factories.price(deployment, input=3, effective_from=now + datetime.timedelta(hours=1))

    def told(moment):
        return selectors.snapshot_models(int(moment.timestamp()))["claude"].deployments[0].prices

    cards = told(now)
    assert [card.version for card in cards] == [current.pk, coming.pk]
    for moment, price in ((now, current), (now + datetime.timedelta(hours=1), coming)):
        assert pricing.card_at(cards, int(moment.timestamp())).version == price.pk
    assert [card.version for card in told(now - datetime.timedelta(days=1))] == [old.pk, current.pk, coming.pk]
    assert [card.version for card in told(now + datetime.timedelta(days=1))] == [coming.pk]
    for of in (old, current, coming):
        factories.price(deployment, input=9, effective_from=of.effective_from, is_correction=True)
    assert [card.input for card in told(now)] == [9, 9]


def test_a_secret_that_does_not_open_is_left_out_and_logged_and_breaks_nothing(capfd):
    provider = factories.provider("Anthropic")
    bad, good = factories.credential(provider), factories.credential(provider, secret="another-secret-of-ours")
    Credential.objects.filter(pk=bad.pk).update(ciphertext=good.ciphertext)
    vault.forget()
    factories.deployment(factories.model("claude"), provider)
    (credential,) = compiled()["claude"].deployments[0].provider.credentials
    assert credential.id == good.pk
    logged = "".join(capfd.readouterr())
    assert "catalog.credential_unreadable" in logged
    assert "another-secret-of-ours" not in logged


def test_a_wrong_keyring_leaves_a_snapshot_without_secrets(settings):
    factories.deployment(factories.model("claude"), factories.credential().provider)
    vault.forget()
    settings.WEIR_KEYRING = "1:another-value-altogether"
    assert compiled()["claude"].deployments[0].provider.credentials == ()


def populate(count):
    for number in range(count):
        tenant = factories.tenant()
        credential = factories.credential()
        factories.credential(credential.provider, tenant=tenant)
        model = factories.model(aliases=[f"alias-{number}-{count}"], tenants=[tenant])
        factories.price(factories.deployment(model, credential.provider))


def test_the_number_of_queries_does_not_grow_with_the_catalog(django_assert_max_num_queries):
    populate(1)
    with django_assert_max_num_queries(8):
        assert len(compiled()) == 2
    populate(12)
    vault.forget()
    with django_assert_max_num_queries(8):
        assert len(compiled()) == 26


def test_the_networks_cost_one_query(django_assert_num_queries):
    services.allow_network(actor=None, cidr="10.0.0.0/8")
    with django_assert_num_queries(1):
        assert selectors.private_networks() == ("10.0.0.0/8",)


def test_who_only_looks_sees_everything_but_secrets_without_the_keyring(acme, settings):
    provider = factories.provider()
    factories.credential(provider, alias="theirs", tenant=acme, weight=3)
    factories.deployment(factories.model("m"), provider)
    opened = selectors.snapshot_models(int(time.time()))["m"].deployments[0].provider.credentials
    vault.forget()
    settings.WEIR_KEYRING = "1:another-value-altogether"
    (sealed,) = selectors.snapshot_models(int(time.time()), opens=False)["m"].deployments[0].provider.credentials
    assert [(one.id, one.alias, one.tenant_id, one.weight) for one in (sealed, *opened)] == [
        (opened[0].id, "theirs", acme.pk, 3)
    ] * 2
    with pytest.raises(ValueError, match="another host"):
        sealed.secret.reveal_for(provider.host)
