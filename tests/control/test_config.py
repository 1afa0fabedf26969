"""The configuration as a text: written, brought in again, and refused where it says what cannot be."""

from __future__ import annotations

import datetime
import re

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.alerts import sealed_urls
from apps.alerts import services as alerts
from apps.alerts.models import AlertRule, Destination
from apps.audit.models import Record, Revision
from apps.catalog import services as catalog
from apps.catalog import vault
from apps.catalog.models import (
    AllowedNetwork,
    Credential,
    DataKey,
    Deployment,
    Fallback,
    Model,
    PinnedEndpoint,
    Price,
    Provider,
)
from apps.catalog.places import place_of
from apps.config import document, schedules, services
from apps.config.document import Refused
from apps.events import services as events
from apps.events import signing
from apps.events.models import Sink
from apps.keys import issuers
from apps.keys.models import Issuer
from apps.policies import services as policies
from apps.policies.models import CachePolicy, DataPolicy, ManagedSettings
from apps.quotas import services as quotas
from apps.quotas.models import Budget, Limit
from apps.signin import services as signin
from apps.signin.models import IdentityProvider
from apps.tenants import services as tenants
from apps.tenants.models import Membership, Project, Role, Tenant
from tests import factories

pytestmark = pytest.mark.django_db

SECRET = "sk-ant-top-secret-0123456789"
EVERYTHING = (
    *(AlertRule, Destination, IdentityProvider, Issuer, ManagedSettings, PeriodicTask, Sink),
    *(CachePolicy, DataPolicy, Budget, Limit, PinnedEndpoint, Price, Deployment, Fallback, Model),
    *(Credential, Provider),
    *(AllowedNetwork, DataKey, Membership, Project, Tenant, User),
)
ODD = "no: “yes”, #1 'é' {x} \t*"


def furnish() -> None:
    """Something of every section, with texts that YAML could take for something else."""
    catalog.allow_network(actor=None, cidr="10.0.0.0/8", note=ODD)
    acme, globex = factories.tenant("on", slug="on"), factories.tenant("Globex", timezone="Asia/Tokyo")
    tenants.update_tenant(globex, actor=None, on_outage="closed", is_active=False)
    owner = factories.member(acme, "owner", Role.OWNER)
    accounts.update_user(owner, actor=None, email="owner@example.com", first_name=ODD[:20])
    accounts.deactivate(factories.member(acme, "1e3"), actor=None)
    web, old = factories.project(acme, "007"), factories.project(acme, "Old")
    tenants.deactivate_project(old, actor=None)
    provider = factories.provider("Claude & co", tags=["eu", "true"], connect_timeout=1.25, quirks=None)
    factories.credential(provider, alias="shared", secret=SECRET, weight=3)
    factories.credential(provider, alias="own", tenant=globex)
    model = factories.model("m", aliases=["latest", "0123"], tenants=[acme, globex], networks=["192.0.2.0/24"])
    other, vectors = factories.model("a-model"), factories.model("vectors", capabilities=["embeddings"])
    catalog.add_fallback(other, actor=None, target=model, position=2)
    deployment = factories.deployment(model, provider, upstream_model="m-1", hedge_after=2.5, defaults=["vision"])
    factories.deployment(vectors, provider, upstream_model="v")
    begun = timezone.now() - datetime.timedelta(days=40)
    factories.price(deployment, effective_from=begun, input=1, cache_read=0)
    factories.price(deployment, effective_from=begun, input=123_456_789, is_correction=True)
    factories.price(deployment, effective_from=timezone.now() + datetime.timedelta(days=9))
    catalog.update_provider(provider, actor=None, check_kind="call", check_model="m-1")
    endpoint = factories.endpoint(model, "pinned", hosts=["llm.example.net"], port=8443, networks=["10.0.0.0/8"])
    quotas.create_limit(actor=None, tenant=acme, requests_per_minute=5)
    quotas.create_limit(actor=None, tenant=acme, concurrency=2)
    quotas.create_limit(actor=None, user=owner, tenant=acme, tokens_per_minute=7)
    quotas.create_limit(actor=None, endpoint=endpoint, tokens_per_minute=7)
    quotas.create_budget(actor=None, project=web, amount=10_000_000_001, overdraft=5)
    day = datetime.date(2026, 1, 1)
    quotas.create_budget(actor=None, tenant=acme, amount=1, period="fixed", starts_on=day, ends_on=day)
    quotas.disable(quotas.create_budget(actor=None, model=model, amount=0, period="day"), actor=None)
    policy = policies.create_policy(
        actor=None, name="p", route_tag="eu", regions=["eu"], rules={"card": ("route", "stop"), "email": ("mask", "")}
    )
    policies.assign(policy, actor=None, project=web)
    policies.assign(policy, actor=None, everyone=True)
    policies.create_cache(actor=None, model=model, ttl_seconds=60)
    furnish_more(acme, web)
    key = factories.key(web).key
    quotas.create_limit(actor=None, key=key, concurrency=1)
    policies.assign(policy, actor=None, key=key)


def furnish_more(acme: Tenant, web: Project) -> None:
    """How people and programs come in, what agents keep to, what is told to whom, and when chores run."""
    about = {"issuer": "https://id.example.com", "client_id": "weir", "required_claims": {"hd": ["a", "b"]}}
    provider = signin.create_provider(actor=None, name=ODD[:20], slug="id", secret=SECRET, **about)
    signin.add_rule(provider, actor=None, group="1e3", is_staff=True)
    signin.add_rule(provider, actor=None, group="1e3", tenant=acme, role=Role.VIEWER)
    trusted = {"url": "https://id.example.com", "audiences": ["x"], "algorithms": ["RS256"], "project": web}
    issuers.create_issuer(actor=None, name="null", tenant=acme, required_claims={"groups": ["yes"]}, **trusted)
    said = {"permissions": {"deny": ["WebFetch"]}, "n": [1, 2.5, True, None, "2026-01-01"], "a": {}}
    policies.settle(actor=None, name="all", settings=said, role=Role.DEVELOPER, tenant=acme)
    hook = {"kind": "webhook", "target": "https://example.com/hook?token=of-hook"}
    place = alerts.create_destination(actor=None, tenant=acme, name="hook", **hook).destination
    mail = {"name": "mail", "kind": "email", "target": "a@example.com, b@example.com"}
    alerts.update_destination(
        alerts.create_destination(actor=None, tenant=None, **mail).destination, actor=None, is_enabled=False
    )
    alerts.create_rule(actor=None, tenant=acme, kind="budget", name="r", destinations=[place], project=web)
    alerts.create_rule(actor=None, tenant=acme, kind="errors", name="r", settings={"percent": 3})
    signing.create(actor=None, name=ODD[:20], kind="webhook", target="https://example.com/e", kinds=["key.created"])
    events.create_sink(actor=None, name="file", kind="file", target="a", settings={"megabytes": 5}, is_enabled=False)
    task = {"task": "apps.usage.tasks.roll_up", "description": ODD}
    schedules.create(actor=None, name="0x1", crontab="5 4 * * 1-5", timezone="Europe/Berlin", **task)
    schedules.create(actor=None, name="often", every=7, period="hours", enabled=False, **task)


def wipe() -> None:
    for model in (Limit, Budget):
        model.objects.all().delete()
    Project.objects.get(slug="007").keys.all().delete()
    for model in EVERYTHING:
        model.objects.all().delete()
    vault.forget()


def told(outcome: services.Outcome) -> list[str]:
    return [f"{change.mark} {change.noun} {change.label}" for change in outcome.changes]


def refused(text: str, **options: object) -> str:
    """Nothing has changed."""
    before = (Record.objects.count(), sorted(Revision.objects.values_list("area", "number")))
    with pytest.raises(Refused) as caught:
        services.bring_in(text, actor=None, **options)
    assert (Record.objects.count(), sorted(Revision.objects.values_list("area", "number"))) == before
    return str(caught.value)


def test_what_is_written_makes_the_same_configuration_elsewhere_and_twice_is_once():
    furnish()
    text = services.export()
    assert SECRET not in text
    assert "sk-ant" not in text
    assert "of-hook" not in text
    assert services.left_out() == {"limits of keys": 1, "policies of keys": 1}
    assert told(services.bring_in(text, actor=None, prune=True)) == []
    wipe()
    assert "None is kept here for “hook”" in refused(text), "its URL must be given"
    hook, url = "target: env:HOOK", {"HOOK": "https://example.com/hook?token=of-hook"}
    outcome = services.bring_in(text.replace("target: kept", hook), actor=None, environment=url)
    assert outcome.left == {}
    assert outcome.lacking == [
        *("credential Claude & co / own: secret", "credential Claude & co / shared: secret"),
        *("identity provider id: secret", "destination on hook: secret", f"event sink {ODD[:20]}: secret"),
    ]
    assert sealed_urls.url_of(Destination.objects.get(name="hook")) == url["HOOK"]
    assert services.export() == text
    before = Record.objects.count()
    again = services.bring_in(text, actor=None, prune=True)
    assert (again.changes, again.left, again.lacking, Record.objects.count()) == ([], {}, [], before)


def test_every_change_is_recorded_with_who_made_it(operator):
    furnish()
    text = services.export()
    wipe()
    Record.objects.latest("pk")
    newest = Record.objects.latest("pk").pk
    services.bring_in(text.replace("target: kept", "target: https://example.com/hook"), actor=operator)
    made = Record.objects.filter(pk__gt=newest)
    assert set(made.values_list("actor_id", flat=True)) == {operator.pk}
    actions = set(made.values_list("action", flat=True))
    assert {"tenant.created", "price.set", "provider.created", "budget.created", "policy.assigned"} <= actions


def test_a_change_is_told_and_what_the_text_lacks_is_left_alone_or_taken_away_if_asked():
    furnish()
    said = yaml.safe_load(services.export())
    said["limits"] = said["limits"][:1]
    (model,) = [model for model in said["models"] if model["name"] == "m"]
    model["strategy"], model["deployments"] = "cheapest", []
    said["tenants"] = [tenant for tenant in said["tenants"] if tenant["slug"] == "on"]
    del said["budgets"], said["caches"]
    text = yaml.safe_dump(said)
    tried = services.bring_in(text, actor=None, dry_run=True)
    assert Model.objects.get(name="m").strategy == "priority"
    outcome = services.bring_in(text, actor=None)
    assert outcome == tried
    assert told(outcome) == ["~ model m"]
    assert outcome.changes[0].differences == (("strategy", "priority", "cheapest"),)
    assert (len(outcome.left["limit"]), outcome.left["tenant"]) == (3, ["globex"])
    assert outcome.left["deployment"] == ["m / Claude & co m-1"]
    Tenant.objects.filter(slug="globex").update(is_active=True)
    pruned = services.bring_in(text, actor=None, prune=True)
    assert sorted(told(pruned)) == [
        "- deployment m / Claude & co m-1",
        *("- limit tenant on", "- limit tenant on", "- limit tenant on user owner", "- tenant globex"),
    ]
    assert Limit.objects.filter(key=None).count() == 1
    assert (Budget.objects.count(), CachePolicy.objects.count()) == (3, 1), "their sections are not in the text"
    assert not Tenant.objects.get(slug="globex").is_active
    assert told(services.bring_in(text, actor=None, prune=True)) == []


def test_prices_are_never_changed_in_place_and_a_coming_one_may_be_replaced_or_withdrawn():
    furnish()
    deployment = Deployment.objects.get(upstream_model="m-1")
    said = yaml.safe_load(services.export())
    (model,) = [model for model in said["models"] if model["name"] == "m"]
    prices = model["deployments"][0]["prices"]
    assert [price["input"] for price in prices] == [0.123456789, 3.0]
    prices[0]["output"], prices[1]["input"] = 4.5, 2
    there = set(deployment.prices.filter(effective_from__lte=timezone.now()).values_list("pk", "output"))
    services.bring_in(yaml.safe_dump(said), actor=None)
    now = set(deployment.prices.filter(effective_from__lte=timezone.now()).values_list("pk", "output"))
    assert there < now
    assert [output for _, output in now - there] == [4_500_000_000]
    assert deployment.prices.get(effective_from__gt=timezone.now()).input == 2_000_000_000
    del prices[1]
    outcome = services.bring_in(yaml.safe_dump(said), actor=None, prune=True)
    assert [(change.mark, change.note) for change in outcome.changes] == [("-", "withdrawn")]


def test_secrets_are_named_and_read_where_weir_runs(tmp_path):
    furnish()
    text = services.export()
    (tmp_path / "key").write_text("sk-from-a-file\n")
    named = text.replace("secret: kept", "secret: env:KEY_A", 1)
    named = named.replace("secret: kept", f"secret: file:{tmp_path}/key", 1)
    environment = {"KEY_A": "sk-from-the-environment"}
    outcome = services.bring_in(named, actor=None, environment=environment)
    assert told(outcome) == ["~ credential Claude & co / own", "~ credential Claude & co / shared"]
    assert "sk-from" not in repr(outcome)
    found = {row.alias: vault.open_one(row.ciphertext, place=place_of(row)) for row in Credential.objects.all()}
    assert found == {"own": "sk-from-the-environment", "shared": "sk-from-a-file"}
    assert told(services.bring_in(named, actor=None, environment=environment)) == []
    assert services.export() == text
    assert "KEY_A is not set" in refused(named, environment={})
    assert "where Weir runs" in refused(named)


@pytest.mark.once
@pytest.mark.parametrize("secret", [SECRET, "'env:'", "env:A=B", "vault:x", "12345", "[a]", "null"])
def test_a_secret_in_the_text_is_refused_and_not_repeated(secret):
    factories.credential(factories.provider("P"), alias="a")
    text = services.export().replace("secret: kept", f"secret: {secret}")
    told = refused(text, environment={})
    assert "never written here" in told
    assert re.match(r"line \d+: secret: ", told)
    assert "top-secret" not in told


def test_an_alias_moves_and_an_owner_follows_another():
    furnish()
    said = yaml.safe_load(services.export())
    by_name = {model["name"]: model for model in said["models"]}
    by_name["m"]["aliases"], by_name["a-model"]["aliases"] = ["0123"], ["latest"]
    (tenant,) = [tenant for tenant in said["tenants"] if tenant["slug"] == "on"]
    tenant["members"] = [{"user": "1e3", "role": "owner"}, {"user": "owner@example.com", "role": "viewer"}]
    services.bring_in(yaml.safe_dump(said), actor=None)
    assert dict(Model.objects.values_list("name", "aliases")) == {"m": ["0123"], "a-model": ["latest"], "vectors": []}
    assert dict(Membership.objects.values_list("user__username", "role")) == {"1e3": "owner", "owner": "viewer"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: Begin with “weir: 1”"),
        ("weir: 2\n", "line 1: Begin with “weir: 1”"),
        ("weir: 1\nkeys: []\n", "line 2: There is no section “keys”"),
        ("weir: 1\nmodels:\n- name: m\n  colour: red\n", "line 4: A model has no “colour”"),
        ("weir: 1\nmodels: 3\n", "line 2: “models” is a list"),
        ("weir: 1\nmodels: [3]\n", "line 2: Each of “models” has named fields."),
        ("weir: 1\nmodels:\n- strategy: cheapest\n", "line 3: Say which model: “name” is missing."),
        ("weir: 1\nmodels:\n- name: m\n- name: m\n", "line 4: The model “m” is given twice."),
        ("weir: 1\nmodels:\n- name: m\n  name: n\n", "line 4: “name” is given twice."),
        ("weir: 1\nmodels:\n- name: m\n  is_enabled: 1\n", "line 4: is_enabled: true or false is expected here."),
        ("weir: 1\nmodels:\n- name: m\n  context_tokens: true\n", "line 4: context_tokens: a whole number"),
        ("weir: 1\nmodels:\n- name: m\n  context_tokens: -1\n", "line 4: context_tokens: "),
        ("weir: 1\nmodels:\n- name: m\n  strategy: dice\n", "line 4: strategy: "),
        ("weir: 1\nmodels:\n- name: m\n  aliases: [1]\n", "line 4: aliases: a list of texts"),
        ("weir: 1\nmodels:\n- name: m\n  tenants: [gone]\n", "line 4: tenants: there is no tenant “gone”."),
        ("weir: 1\nbudgets:\n- {period: day, amount: 3}\n", "line 3: Choose exactly one of tenant"),
        ("weir: 1\nbudgets:\n- amount: .inf\n", "line 3: “.inf” is no number"),
        ("weir: 1\nbudgets:\n- amount: 1e999999999\n", "line 3: "),
        (
            "weir: 1\nbudgets:\n- {period: day, amount: 0.0000000001}\n",
            "line 3: amount: amounts go down to a nano-dollar.",
        ),
        ("weir: 1\nbudgets:\n- {period: fixed, starts_on: 2026-02-30, amount: 1}\n", "line 3: starts_on: "),
        ("weir: 1\ntenants:\n- slug: a\n  members:\n  - {role: king, user: x}\n", "line 5: user: there is no person"),
        ("weir: 1\na: &a [x]\nb: *a\n", "line 2: Anchors"),
        ("weir: 1\nmodels: " + "[" * 5000, "line 2: This is nested too deeply."),
        ("weir: 1\nmodels: [\n", "line 3: "),
        ("weir: \x00\n", "This is no YAML"),
        ('weir: "a\\0b"\n', "line 1: This is no text"),
        ('weir: "\\ud800"\n', "line 1: This is no text"),
        ("- weir\n", "line 1: Sections are expected"),
    ],
)
@pytest.mark.once
def test_what_cannot_be_is_refused_with_its_line(text, message):
    told = refused(text)
    assert told.startswith(message), told


@pytest.mark.once
def test_all_that_is_refused_is_told_at_once():
    text = "weir: 1\nmodels:\n- {name: a, strategy: dice}\n- {name: b}\n- {name: c, colour: red}\n"
    assert [line[:7] for line in refused(text).splitlines()] == ["line 3:", "line 5:"]
    assert not Model.objects.exists()


def test_the_command(tmp_path, capsys, operator):
    furnish()
    file = tmp_path / "weir.yaml"
    call_command("config", "export", output=file)
    assert capsys.readouterr().err.splitlines() == [
        "Not written: 1 limits of keys.",
        "Not written: 1 policies of keys.",
    ]
    text = file.read_text().replace("strategy: priority", "strategy: fastest", 1)
    file.write_text(text)
    call_command("config", "import", str(file), "--dry-run")
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["~ model a-model", "    strategy: priority -> fastest"]
    assert out[-1].startswith("1 would change, ")
    call_command("config", "import", str(file), "--as", "operator")
    capsys.readouterr()
    assert Record.objects.latest("pk").actor_id == operator.pk
    assert Model.objects.get(name="a-model").strategy == "fastest"
    file.write_text(text.replace("- alias: shared", "- alias: third"))
    call_command("config", "import", str(file), "--dry-run")
    assert "  not here, so set it: credential Claude & co / third: secret" in capsys.readouterr().out.splitlines()
    file.write_text(text.replace("strategy: fastest", "strategy: dice"))
    with pytest.raises(CommandError, match="nothing has changed:\nline "):
        call_command("config", "import", str(file))
    with pytest.raises(CommandError, match="nobody called"):
        call_command("config", "import", str(file), "--as", "stranger")


def test_writing_asks_as_much_of_many_rows_as_of_few():
    furnish()
    with CaptureQueriesContext(connection) as few:
        services.export()
    for number in range(3):
        tenant, model = factories.tenant(f"t{number}"), factories.model(f"model-{number}")
        factories.member(tenant, f"member-{number}")
        factories.project(tenant)
        provider = factories.provider(f"Provider {number}")
        factories.credential(provider)
        factories.price(factories.deployment(model, provider))
        catalog.add_fallback(model, actor=None, target=Model.objects.get(name="m"), position=1)
        policy = policies.create_policy(actor=None, name=f"p{number}", rules={"email": ("mask", "")})
        policies.assign(policy, actor=None, tenant=tenant)
    with CaptureQueriesContext(connection) as many:
        text = services.export()
    assert len(many) == len(few) <= 30
    assert told(services.bring_in(text, actor=None, prune=True)) == []


@pytest.mark.once
def test_a_text_is_what_was_written():
    values = {"a": ["1", "yes", "2026-01-01", "~", "é\n", "x: y", "-"], "b": [1, True, None, 2.5], "c": {}}
    read = document.parsed(document.written(values))
    assert {**read, "b": [1, True, None, float(read["b"][3])]} == values
