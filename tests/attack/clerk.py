"""Whoever sets the attacked installation up, and asks it from the inside: a process beside its own, on the same stores.

    python -m tests.attack.clerk

A line of JSON on standard input, {"do": name, "with": {…}}, is answered by one on standard output, as
`tests.faults.desk` does it. The public functions below are what can be done.
"""

from __future__ import annotations

import datetime
import io
import json
import os
from typing import Any

MODELS = ("claude", "gpt")
PRICE = dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), 1_000_000_000)
SLUG = "acme"
Texts = dict[str, str]


def seed(*, words: Texts, leaky: str, receiver: str, kinds: list[str]) -> Texts:
    """One of everything, and what bears the canaries of `words`. Returns what the installation made itself, by name."""
    from tests.control import world

    world.one_of_everything("Plain")
    _rest()
    _open_loopback()
    return _people(words) | _routes(words, leaky, kinds) | _receivers(words, receiver) | _doors(words, leaky)


def _rest() -> None:
    """What that world would have called lies on other machines."""
    from django_celery_beat.models import PeriodicTask

    from apps.alerts.models import Destination
    from apps.catalog.models import AllowedNetwork, Provider
    from apps.events.models import Sink

    for model in (Provider, Destination, Sink):
        model._default_manager.update(is_enabled=False)
    PeriodicTask.objects.update(enabled=False)
    AllowedNetwork.objects.all().delete()


def _open_loopback() -> None:
    from apps.catalog import services as catalog

    catalog.allow_network(actor=None, cidr="127.0.0.0/8")


def _people(words: Texts) -> Texts:
    """An operator, an owner with a second factor, and somebody who is asked to come."""
    from apps.access import services as access
    from apps.accounts import services as accounts
    from apps.keys import services as keys
    from apps.quotas import services as quotas
    from apps.signin import second_factors
    from apps.tenants import invitations
    from apps.tenants import services as tenants

    staff = {"is_staff": True, "is_superuser": True}
    root = accounts.create_user(actor=None, username="root", password=words["password of root"], **staff)
    names = {"email": words["e-mail"], "first_name": words["first name"], "last_name": words["last name"]}
    alice = accounts.create_user(actor=root, username="alice", password=words["password of alice"], **names)
    acme = tenants.create_tenant(actor=root, name="Acme", slug=SLUG, owner=alice)
    project = tenants.create_project(acme, actor=alice, name="Rockets")
    issued = keys.issue(actor=alice, tenant=acme, project=project, user=alice, name="laptop")
    poor = keys.issue(actor=alice, tenant=acme, project=project, user=alice, name="poor")
    quotas.create_budget(actor=alice, key=poor.key, amount=1, period="month")
    second = second_factors.begin(root)
    codes = second_factors.confirm(root, code=_code_of(second.secret))
    program = _program(alice, project)
    invited = invitations.invite(acme, actor=alice, email=words["invited e-mail"], role="viewer")
    return {
        "key": issued.plaintext,
        "poor key": poor.plaintext,
        "token of root": access.issue(root, name="of root", scope="write").plaintext,
        "token of alice": access.issue(alice, name="of alice", scope="write").plaintext,
        "second factor": second.secret,
        "recovery code": codes[0],
        "another recovery code": codes[1],
        "invitation": invited.token,
        **program,
    }


def _code_of(secret: str) -> str:
    import base64

    from django_otp.oath import TOTP

    return f"{TOTP(base64.b32decode(secret)).token():06}"


def _program(user: Any, project: Any) -> Texts:
    from apps.keys import grants

    begun = grants.begin(client="claude-code/2.1", address="192.0.2.1")
    grants.approve(grants.awaited(begun.user_code), actor=user, project=project)  # type: ignore[arg-type]
    tokens = grants.exchange(begun.device_code)
    return {"device code": begun.device_code, "program's token": tokens.access, "program's renewal": tokens.refresh}


def _routes(words: Texts, leaky: str, kinds: list[str]) -> Texts:
    """A model for every way in which an upstream of either dialect can end, each at a provider of its own."""
    from apps.catalog.models import Model
    from apps.policies import services as policies
    from apps.tenants.models import Tenant

    for dialect, protocol in zip(MODELS, ("anthropic_messages", "openai_chat"), strict=True):
        vendor = "anthropic_compatible" if protocol == "anthropic_messages" else "openai_compatible"
        for kind in kinds:
            _deploy(f"{dialect}-{kind}", vendor, protocol, leaky, secret=words["credential"])
        inward = {"url": "http://10.9.8.7:9", "secret": words["credential"]}
        _deploy(f"{dialect}-refused", "simulated", protocol, **inward)
        _deploy(f"{dialect}-closed", vendor, protocol, "http://127.0.0.1:1", secret=words["credential"])
    _deploy(words["model's name"], "openai_compatible", "openai_chat", leaky, secret=words["credential"])
    _deploy("aws", "bedrock", "bedrock_invoke", leaky, secret=words["AWS key"])
    _deploy("shaped-401", "openai_compatible", "openai_chat", leaky, secret=words["shaped credential"])
    policies.create_cache(actor=None, model=Model.objects.get(name="claude-fine"), is_forced=True)
    policy = policies.create_policy(
        actor=None, name="Careful", rules={"card": ("block", "stop"), "email": ("mask", "flag")}
    )
    policies.assign(policy, actor=None, tenant=Tenant.objects.get(slug=SLUG))
    return {}


def _deploy(name: str, vendor: str, protocol: str, url: str, secret: str) -> None:
    from apps.catalog import services as catalog

    options = {"options": {"region": "us-east-1"}} if vendor == "bedrock" else {}
    times = {"connect_timeout": 2.0, "first_byte_timeout": 0.5 if name.endswith("silent") else 30.0}
    provider = catalog.create_provider(
        actor=None, name=f"at {name}", vendor=vendor, protocol=protocol, base_url=url, **options, **times
    )
    catalog.create_credential(provider, actor=None, alias="main", secret=secret)
    model = catalog.create_model(actor=None, name=name, display_name=name, max_output_tokens=400)
    upstream = "anthropic.claude-x" if vendor == "bedrock" else name
    deployment = catalog.create_deployment(model, actor=None, provider=provider, upstream_model=upstream)
    catalog.set_price(deployment, actor=None, **PRICE)


def _receivers(words: Texts, receiver: str) -> Texts:
    """Who is told: webhooks that are there, and a broker, a topic and a chat that are not."""
    from apps.alerts import services as alerts
    from apps.events import services as events
    from apps.events import signing

    made = signing.create(actor=None, name="hook", kind="webhook", target=receiver)
    events.create_sink(actor=None, name="files", kind="file", target="told")
    broker = {"kind": "rabbitmq", "target": "amqp://weir@127.0.0.1:1/", "secret": words["broker's password"]}
    events.create_sink(actor=None, name="broker", **broker)
    key = {
        "type": "service_account",
        "client_email": "a@example.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    key["private_key"] = f"-----BEGIN PRIVATE KEY-----\n{words['service account']}\n-----END PRIVATE KEY-----\n"
    topic = {"kind": "pubsub", "target": "projects/my-project/topics/weir", "secret": json.dumps(key)}
    events.create_sink(actor=None, name="topic", **topic)
    hook = alerts.create_destination(actor=None, tenant=None, name="hook", kind="webhook", target=receiver)
    chat = f"{receiver}/services/{words['chat address']}"
    place = alerts.create_destination(actor=None, tenant=None, name="chat", kind="slack", target=chat).destination
    told = {"settings": {"percent": 1, "minutes": 60, "calls": 1}, "destinations": [place, hook.destination]}
    alerts.create_rule(actor=None, tenant=None, kind="errors", name="Many", **told)
    return {"sink's secret": made.secret, "destination's secret": hook.secret or ""}


def _doors(words: Texts, leaky: str) -> Texts:
    """Who else is asked with a secret of ours: an identity provider, and where a vendor reports."""
    from apps.catalog.models import Provider
    from apps.reconciliation import services as reconciliation
    from apps.signin import services as signin

    about = {"name": "Example", "slug": "example", "issuer": leaky, "client_id": "weir"}
    signin.create_provider(actor=None, secret=words["client secret"], creates_people=True, **about)
    provider = Provider.objects.get(name="at gpt-fine")
    source = {"vendor": "openai", "address": leaky, "secret": words["report key"]}
    made = reconciliation.create_source(actor=None, provider=provider, **source)
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=2)
    reconciliation.fetch(actor=None, source=made, shape="openai_costs", first=day, last=day)
    return {}


# --- what is asked ---------------------------------------------------------------------------------------------------


def addresses() -> dict[str, list[str]]:
    """Every address that Django answers a GET at: of the site for an operator, of the tenant for its owner, of the API
    for both. Those that sign out or hand out are left to the errands."""
    from django.apps import apps

    from apps.api.urls import VIEWS
    from tests.control import test_every_url as every

    rows = {model: model._base_manager.order_by("-pk").first() for model in apps.get_models()}
    site = [
        every.url(address, rows)
        for address in every.addresses()
        if not address.pattern.startswith(("t/<slug:tenant>/", "api/v1/"))
        and not address.name.endswith(("logout", "sign_out", "_delete"))
    ]
    api = []
    for view in VIEWS:
        api += [f"/api/v1/{view.place}"] if hasattr(view, "list") else []
        row = view.rows().order_by("-pk").first() if hasattr(view, "retrieve") else None
        api += [f"/api/v1/{view.place}/{row.pk}"] if row is not None else []
    return {"site": sorted(set(site)), "tenant": _of_tenant(), "api": api}


def _of_tenant() -> list[str]:
    from django.urls import reverse

    from apps.catalog.models import Model
    from apps.keys.models import Grant, Key
    from apps.portal import urls
    from apps.quotas.models import Budget
    from apps.tenants.models import Invitation, Membership, Project, Tenant
    from apps.usage.models import Entry

    acme = Tenant.objects.get(slug=SLUG)
    entry = Entry.objects.filter(tenant=acme).order_by("-pk").first()
    things = {
        "key": Key.objects.filter(tenant=acme),
        "program": Grant.objects.filter(tenant=acme),
        "project": Project.objects.filter(tenant=acme),
        "member": Membership.objects.filter(tenant=acme),
        "invitation": Invitation.objects.filter(tenant=acme),
        "budget": Budget.objects.filter(key__tenant=acme),
        "model": Model.objects.filter(name="claude-fine"),
    }
    known: dict[str, Any] = {name: getattr(rows.first(), "pk", 1) for name, rows in things.items()}
    known |= {"entry": entry.pk, "call": entry.request_id.hex} if entry is not None else {}
    found = []
    for page in urls.tenant_pages:
        given = {name: known.get(name, 1) for name in page.pattern.converters if name != "tenant"}
        if {"entry", "call"} & (given.keys() - known.keys()):
            continue
        found.append(reverse(f"portal:{page.name}", kwargs={"tenant": SLUG, **given}))
    return found


def sessions() -> list[Any]:
    """What is in them: they lie in the database packed."""
    from django.contrib.sessions.models import Session

    return [row.get_decoded() for row in Session.objects.all()]


def run(*, command: str, arguments: list[str]) -> str:
    """What a management command writes."""
    from django.core.management import call_command

    out = io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        out.write(f"ended with {ended.code}")
    return out.getvalue()


def send(*, task: str, arguments: list[Any]) -> None:
    from gateway_site.celery import app

    app.send_task(task, args=arguments, kwargs={"also": arguments} if arguments else {})


def sql(*, statement: str) -> None:
    """Of the test's own, to break something and to mend it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)


def unposted() -> int:
    """How many reports the worker has still to ask for."""
    from apps.reconciliation.models import Report

    return Report.objects.filter(state=Report.State.FETCHING).count()


def main() -> None:
    from tests.faults import desk

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    desk.serve(globals(), name="clerk")


if __name__ == "__main__":
    main()
