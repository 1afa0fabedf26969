"""Sections beside people, routing and money: sign-in, alerts, chores; and that nothing of the admin is left out without
a word."""

from __future__ import annotations

import base64

import pytest
from django.contrib import admin

from apps.alerts import sealed_urls
from apps.alerts import services as alerts
from apps.alerts.models import AlertRule, Destination
from apps.catalog import vault
from apps.catalog.models import Model
from apps.config import schedules, services
from apps.config.secrets import Source
from apps.config.sections import all_kinds
from apps.events import services as events
from apps.events import signing
from apps.events.models import Sink
from apps.policies import services as policies
from apps.quotas import services as quotas
from apps.signin import services as signin
from apps.signin.models import IdentityProvider
from apps.tenants.models import Tenant
from tests import factories
from tests.control import world
from tests.control.test_config import refused, told

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NOT_WRITTEN = {
    "audit.record": "what has happened",
    "keys.key": "its secret is nowhere, and without it a key is nobody's: made where it is used",
    "keys.grant": "people sign their programs in",
    "access.token": "as keys are",
    "accounts.identity": "people link theirs as they sign in",
    "signin.secondfactor": "people's own, on their phones",
    "quotas.replica": "what is running",
    "quotas.increase": "what somebody has asked for, until a moment",
    "quotas.budgetwindow": "what has been spent",
    "quotas.gap": "what has happened",
    "policies.intervention": "what has happened",
    "usage.entry": "what has happened",
    "usage.hourlyrollup": "what has happened",
    "usage.sealedmonth": "what has happened",
    "usage.unconfirmed": "what has happened",
    "usage.verification": "what has happened",
    "alerts.alert": "what has happened",
    "events.undelivered": "what has happened",
    "django_celery_beat.intervalschedule": "written with the chores that it is for",
    "django_celery_beat.crontabschedule": "the same",
    "usage.refusal": "what has happened",
}
APPS_NOT_WRITTEN = {"reconciliation": "what providers' invoices say, and whose key may ask for them"}
WEBHOOK = """\
weir: 1
destinations:
  - name: ops
    kind: webhook
    target: https://example.com/x?token=of-ops
    secret: env:HOOK
  - name: chat
    kind: slack
    target: env:SLACK
alerts:
  - name: budgets
    kind: budget
    destinations: [chat, ops]
"""
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
ENVIRONMENT = {"HOOK": SECRET, "SLACK": "https://hooks.slack.example.com/T0/secret-part"}


def test_everything_of_the_admin_is_written_or_excused():
    there = world.one_of_everything("Acme")
    quotas.create_limit(actor=None, tenant=there[Tenant], concurrency=1)
    policies.create_cache(actor=None, model=there[Model])
    written: set[str] = set()

    def walk(kind, parent):
        for row in kind.rows(parent):
            written.add(row._meta.label_lower)
            for child in kind.children:
                walk(child, row)

    for kind in all_kinds(Source()):
        walk(kind, None)
    pages = admin.site._registry.values()
    labels = {page.opts.label_lower for page in pages}
    labels |= {inline.model._meta.label_lower for page in pages for inline in page.inlines}
    labels = {label for label in labels if label.partition(".")[0] not in APPS_NOT_WRITTEN}
    assert labels - written - set(NOT_WRITTEN) - {"catalog.fallback"} == set()  # the world has none of these
    assert written & set(NOT_WRITTEN) == set()


def test_secrets_of_webhooks_are_named_and_never_written():
    outcome = services.bring_in(WEBHOOK, actor=None, environment=ENVIRONMENT)
    assert told(outcome) == ["+ destination ops", "+ destination chat", "+ alert rule budgets"]
    assert "secret-part" not in str(outcome)
    assert "of-ops" not in str(outcome)
    ops, chat = Destination.objects.get(name="ops"), Destination.objects.get(name="chat")
    assert vault.open_one(ops.sealed, place=ops.place) == SECRET
    assert sealed_urls.url_of(chat) == ENVIRONMENT["SLACK"]
    assert {row.name for row in AlertRule.objects.get(name="budgets").destinations.all()} == {"ops", "chat"}
    text = services.export()
    assert "secret-part" not in text
    assert SECRET not in text
    assert "of-ops" not in text
    assert services.bring_in(text, actor=None).changes == []
    assert services.bring_in(WEBHOOK, actor=None, environment=ENVIRONMENT).changes == []
    other = {**ENVIRONMENT, "SLACK": "https://hooks.slack.example.com/T0/other"}
    outcome = services.bring_in(WEBHOOK, actor=None, environment=other)
    assert told(outcome) == ["~ destination chat"]
    assert "other" not in str(outcome)
    moved = services.bring_in(WEBHOOK.replace("of-ops", "renewed"), actor=None, environment=ENVIRONMENT | other)
    assert told(moved) == ["~ destination ops"]
    assert "renewed" not in str(moved)
    assert services.bring_in(text, actor=None).changes == [], "what is kept stays"
    assert sealed_urls.url_of(Destination.objects.get(name="ops")).endswith("renewed")


def test_what_cannot_be_named_is_refused_with_its_line():
    plain = WEBHOOK.replace("env:SLACK", "https://hooks.slack.example.com/T0/secret-part")
    found = refused(plain, environment=ENVIRONMENT)
    assert "line 9:" in found
    assert "secret-part" not in found
    assert "line 9:" in refused(WEBHOOK.replace("env:SLACK", "kept"), environment=ENVIRONMENT)
    assert "line 6:" in refused(WEBHOOK, environment={**ENVIRONMENT, "HOOK": "whsec_short"})
    assert "no destination “elsewhere”" in refused(WEBHOOK.replace("[chat,", "[elsewhere,"), environment=ENVIRONMENT)


def test_another_issuer_drops_the_secret_unless_it_is_named_again():
    provider = signin.create_provider(
        actor=None, name="Id", slug="id", issuer="https://id.example.com", client_id="weir", secret="one"
    )
    text = "weir: 1\nidentity_providers:\n  - slug: id\n    client_id: other\n    secret: env:ONE\n"
    services.bring_in(text, actor=None, environment={"ONE": "one"})
    provider.refresh_from_db()
    assert (provider.client_id, vault.open_one(provider.client_secret, place=provider.place)) == ("other", "one")
    assert services.bring_in(text, actor=None, environment={"ONE": "one"}).changes == []
    services.bring_in(text.replace("other", "third").replace("env:ONE", "kept"), actor=None)
    assert IdentityProvider.objects.get().client_secret == ""


def test_groups_are_pruned_and_providers_disabled():
    acme = factories.tenant("Acme")
    provider = signin.create_provider(
        actor=None, name="Id", slug="id", issuer="https://id.example.com", client_id="weir"
    )
    signin.add_rule(provider, actor=None, group="old", is_staff=True)
    groups = f"    groups:\n      - group: new\n        tenant: {acme.slug}\n        role: viewer\n"
    services.bring_in(f"weir: 1\nidentity_providers:\n  - slug: id\n{groups}", actor=None, prune=True)
    assert [(rule.group, rule.role) for rule in provider.rules.all()] == [("new", "viewer")]
    services.bring_in("weir: 1\nidentity_providers: []\n", actor=None, prune=True)
    assert IdentityProvider.objects.get().is_enabled is False


def test_a_chore_s_times_take_the_place_of_its_interval():
    task = schedules.create(actor=None, name="x", task="apps.usage.tasks.roll_up", every=7, period="hours")
    text = "weir: 1\nschedules:\n  - name: x\n    crontab: 5 4 * * *\n    timezone: UTC\n"
    assert told(services.bring_in(text, actor=None)) == ["~ schedule x"]
    task.refresh_from_db()
    assert schedules.when(task) == {"every": None, "period": None, "crontab": "5 4 * * *", "timezone": "UTC"}
    assert services.bring_in(text, actor=None).changes == []
    assert "line 4:" in refused(text.replace("5 4 * * *", "5 4"))
    assert "no such task" in refused("weir: 1\nschedules: [{name: y, task: rm, every: 1, period: days}]\n")


def test_a_secret_that_is_set_is_for_signed_webhooks_alone(operator):
    place = alerts.create_destination(actor=operator, tenant=None, name="m", kind="email", target="a@example.com")
    with pytest.raises(Exception, match="Only webhooks"):
        alerts.set_secret(place.destination, actor=operator, secret=SECRET)


def test_a_sink_s_secret_is_named_and_kept_while_it_is_rotated():
    text = "weir: 1\nsinks:\n  - name: us\n    kind: webhook\n    target: https://example.com/e\n    secret: env:HOOK\n"
    assert told(services.bring_in(text, actor=None, environment=ENVIRONMENT)) == ["+ event sink us"]
    sink = Sink.objects.get()
    assert events.secret_of(sink) == SECRET
    made = signing.rotate(sink, actor=None)
    assert services.bring_in(text, actor=None, environment={"HOOK": made.secret}).changes == []
    assert len(events.secret_of(sink).split()) == 2
    assert "whsec_" not in services.export()
    assert "It is whsec_ and the base64" in refused(text.replace("us", "them"), environment={"HOOK": "short"})
    assert "another sink" in refused(text.replace("kind: webhook", "kind: file"), environment=ENVIRONMENT)
