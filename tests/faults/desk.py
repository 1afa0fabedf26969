"""The operator's desk: a process beside the gateways, with a way of its own to the database that no fault lies on.

    python -m tests.faults.desk

A line of JSON on standard input, {"do": name, "with": {…}}, is answered by one on standard output: {"told": …}, or
{"failed": traceback}. The public functions below are what can be done. `None` for an actor: the system itself.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import traceback
from typing import IO, Any

import django

PRICE = {
    "input": 3_000_000_000,
    "output": 15_000_000_000,
    "cache_read": 300_000_000,
    "cache_write_5m": 3_750_000_000,
    "cache_write_1h": 6_000_000_000,
}
MODELS = {  # the name callers use: the dialect of its upstream. Two deployments each, so that there is a second try.
    "claude": "anthropic_messages",
    "gpt": "openai_chat",
    # For calls that the provider limits: their credentials are set aside for a while, and nobody else's.
    "claude-limited": "anthropic_messages",
    "gpt-limited": "openai_chat",
}
# Only its answers cost something: one that is as long as its caller allows costs what was reserved, to the nano-USD.
EXACT = "exact"
EXACT_PRICE = dict.fromkeys(PRICE, 0) | {"output": PRICE["output"]}
MAX_OUTPUT = 400
# As long as a loaded machine may need, and breakers that no such wait opens: who tests either sets it.
TIMEOUTS = {"connect_timeout": 30.0, "first_byte_timeout": 60.0, "idle_timeout": 60.0, "total_timeout": 120.0}
CALM = {"breaker_minimum_calls": 100_000}


def seed(*, simulator_url: str) -> None:
    """Makes what all tenants call."""
    from apps.catalog import services as catalog

    catalog.allow_network(actor=None, cidr="127.0.0.0/8")
    for name, protocol in MODELS.items():
        for priority in (0, 1):
            _deploy(name, priority, protocol=protocol, url=simulator_url, price=PRICE, priority=priority, **CALM)
    _deploy(EXACT, 0, protocol="anthropic_messages", url=simulator_url, price=EXACT_PRICE, **CALM)


def deploy(*, name: str, urls: list[str], **fields: Any) -> None:
    """A model that is the same at each of these providers, of two dialects in turn, whose names for it are `<name>-0`
    and so on. No conversation stays where it was. `fields`: the deployments' own."""
    from apps.catalog import services as catalog

    catalog.create_model(actor=None, name=name, display_name=name, max_output_tokens=MAX_OUTPUT, is_sticky=False)
    for number, url in enumerate(urls):
        protocol = ("anthropic_messages", "openai_chat")[number % 2]
        _deploy(name, number, protocol=protocol, url=url, price=PRICE, **fields)


def keep_answers(*, model: str) -> None:
    """Also where chance decides."""
    from apps.catalog.models import Model
    from apps.policies import services

    services.create_cache(actor=None, model=Model.objects.get(name=model), is_forced=True)


def _deploy(name: str, number: int, *, protocol: str, url: str, price: dict[str, int], **fields: Any) -> None:
    """A model, if it is not there yet, at a provider of its own."""
    from apps.catalog import services as catalog
    from apps.catalog.models import Model

    model = Model.objects.filter(name=name).first() or catalog.create_model(
        actor=None, name=name, display_name=name, max_output_tokens=MAX_OUTPUT
    )
    provider = catalog.create_provider(
        actor=None, name=f"{name} {number}", vendor="simulated", protocol=protocol, base_url=url, **TIMEOUTS
    )
    catalog.create_credential(provider, actor=None, alias="main", secret=f"simulated-credential-{name}-{number}")
    deployment = catalog.create_deployment(
        model, actor=None, provider=provider, upstream_model=f"{name}-{number}", **fields
    )
    catalog.set_price(deployment, actor=None, **price)


def tenant(*, name: str, budgets: list[dict[str, Any]], keys: int = 2, **changes: Any) -> dict[str, Any]:
    """A tenant with a project, a user and keys. A budget is {"of": tenant | project | user | key | model, "amount", …}.
    `changes` are the tenant's own fields.

    Returns {"id", "keys": [[id, plaintext]], "budgets": [ids]}.
    """
    from apps.accounts import services as accounts
    from apps.catalog.models import Model
    from apps.keys import services as key_services
    from apps.quotas import services as quotas
    from apps.tenants import services as tenants

    owner = accounts.create_user(actor=None, username=f"owner-{name}")
    made = tenants.create_tenant(actor=None, name=name, owner=owner)
    if changes:
        tenants.update_tenant(made, actor=None, **changes)
    project = tenants.create_project(made, actor=None, name="all")
    issued = [
        key_services.issue(actor=None, tenant=made, project=project, user=owner, name=f"{name} {number}")
        for number in range(keys)
    ]
    subjects = {
        "tenant": {"tenant": made},
        "project": {"project": project},
        "user": {"user": owner},
        "key": {"key": issued[0].key},
        "model": {"model": Model.objects.get(name="claude"), "tenant": made},
    }
    ids = [
        quotas.create_budget(actor=None, **subjects[budget["of"]], **{k: v for k, v in budget.items() if k != "of"}).pk
        for budget in budgets
    ]
    return {"id": made.pk, "keys": [[one.key.pk, one.plaintext] for one in issued], "budgets": ids}


def revoke(*, key: int) -> None:
    from apps.keys import services
    from apps.keys.models import Key

    services.revoke(Key.objects.get(pk=key), actor=None)


def set_amount(*, budget: int, amount: int) -> None:
    from apps.quotas import services
    from apps.quotas.models import Budget

    services.update_budget(Budget.objects.get(pk=budget), actor=None, amount=amount)


def set_prices(*, factor: int) -> None:
    """From now on everything but the exact model costs so many times what it cost at first."""
    from apps.catalog import services
    from apps.catalog.models import Deployment

    for deployment in Deployment.objects.exclude(model__name=EXACT):
        services.set_price(deployment, actor=None, **{name: value * factor for name, value in PRICE.items()})


def set_breakers(**fields: Any) -> None:
    """Of every deployment."""
    from apps.catalog import services
    from apps.catalog.models import Deployment

    for deployment in Deployment.objects.all():
        services.update_deployment(
            deployment, actor=None, **{f"breaker_{name}": value for name, value in fields.items()}
        )


def standings() -> dict[str, str]:
    """What the admin, a process of its own, knows of breakers: phases by deployment."""
    from apps.catalog.models import Deployment
    from apps.runtime import standings

    known = standings.by_deployment()
    return {str(row): known[row.pk].breaker for row in Deployment.objects.all() if row.pk in known}


def set_limit(*, tenant: int, **limits: int) -> None:
    from apps.quotas import services
    from apps.tenants.models import Tenant

    services.create_limit(actor=None, tenant=Tenant.objects.get(pk=tenant), **limits)


def set_providers(**fields: Any) -> None:
    """Of every provider, as `on_disconnect`: what its calls do when the client leaves, cancel or drain."""
    from apps.catalog import services
    from apps.catalog.models import Provider

    for provider in Provider.objects.all():
        services.update_provider(provider, actor=None, **fields)


def person(*, username: str, password: str) -> None:
    """One of the staff who may do everything."""
    from apps.accounts import services

    services.create_user(actor=None, username=username, password=password, is_staff=True, is_superuser=True)


def change_something(*, tenant: int, number: int) -> None:
    """The `number`th time: a credential's secret and a price, one of each after another, one more kind of what calls
    depend on, and the networks that may be called, with which all connections to providers are given up."""
    from apps.catalog import services as catalog
    from apps.catalog.models import AllowedNetwork, Credential, Deployment, Model, Provider

    def turn(rows: Any) -> Any:
        return rows.order_by("pk")[number % rows.count()]

    credential = turn(Credential.objects.select_related("provider"))
    catalog.set_secret(credential, actor=None, secret=f"simulated-credential-{credential.pk}-{number}")
    priced = turn(Deployment.objects.exclude(model__name=EXACT))
    catalog.set_price(priced, actor=None, **{name: value + number for name, value in PRICE.items()})
    for network in AllowedNetwork.objects.filter(cidr__startswith="10."):
        catalog.forbid_network(network, actor=None)
    catalog.allow_network(actor=None, cidr=f"10.{number % 250}.0.0/16")
    match number % 4:
        case 0:
            catalog.update_deployment(turn(Deployment.objects.all()), actor=None, weight=1 + number)
        case 1:
            catalog.update_provider(turn(Provider.objects.all()), actor=None, connect_timeout=30.0 + number)
        case 2:
            catalog.update_model(turn(Model.objects.all()), actor=None, max_output_tokens=MAX_OUTPUT + number)
        case 3:
            _change_rules(tenant, number)


def _change_rules(tenant: int, number: int) -> None:
    """A limit of the tenant's that stops nobody, and a policy that is against nothing there is."""
    from apps.policies import services as policies
    from apps.policies.models import DataPolicy
    from apps.quotas import services as quotas
    from apps.quotas.models import Limit

    if limit := Limit.objects.filter(tenant=tenant).first():
        quotas.update_limit(limit, actor=None, concurrency=10_000 + number)
        policies.update_policy(DataPolicy.objects.get(), actor=None, forbidden_tags=[f"tag-{number}"])
    else:
        set_limit(tenant=tenant, concurrency=10_000)
        policies.assign(policies.create_policy(actor=None, name="changing"), actor=None, everyone=True)


def books(*, tenant: int, budgets: list[int]) -> dict[str, Any]:
    """All that the database says of one tenant's money: see `tests.faults.books`."""
    from apps.catalog.models import Price
    from apps.quotas.models import BudgetWindow, Gap, Lease
    from apps.usage.models import Entry

    windows = BudgetWindow.objects.filter(budget__in=budgets)
    return {
        "entries": list(Entry.objects.filter(tenant_id=tenant).order_by("id").values()),
        "windows": list(windows.values()),
        "leases": list(Lease.objects.filter(window__in=windows).values()),
        "gaps": list(Gap.objects.filter(window__in=windows).values()),
        "prices": list(Price.objects.values()),
    }


def replicas() -> list[dict[str, Any]]:
    from apps.quotas.models import Replica

    return list(Replica.objects.values())


def silence(*, name: str = "") -> int:
    """Lets the replicas whose names begin so, as far as the database can tell, have been silent for an hour."""
    from django.db.models.functions import Now

    from apps.quotas.models import Replica

    silent = Replica.objects.filter(name__startswith=name)
    silent.exclude(fenced_at=None).update(fenced_at=Now() - datetime.timedelta(hours=1))
    return silent.update(heartbeat=Now() - datetime.timedelta(hours=1))


def reap() -> None:
    """Takes those for dead that have been silent, and gives up those that have been dead for long."""
    from apps.usage import reaper

    reaper.reap()


def lose(*, name: str) -> None:
    """An operator says that the replicas whose names begin so are gone for good, and their disks."""
    from apps.quotas.models import Replica
    from apps.usage import reaper

    for replica in Replica.objects.filter(name__startswith=name).values_list("name", flat=True):
        reaper.declare_lost(replica, actor=None)


def lock(*, seconds: float) -> None:
    """Keeps every other writer out of SQLite."""
    import time

    from django.db import transaction

    with transaction.atomic():  # IMMEDIATE: it locks when it begins
        time.sleep(seconds)


def recover(*, folder: str) -> list[int]:
    """Takes over every journal there that nobody holds, as a gateway does when it starts."""
    import asyncio

    from apps.usage import recovery

    found = asyncio.run(recovery.recover(folder))
    return [found.journals, found.posted, found.unconfirmed]


def past(*, tenant: int, hours: int, calls: int) -> None:
    """So many calls in each of the last hours, as if they had been made then."""
    import time

    from apps.usage import ledger
    from tests.money.calls import intent, outcome

    now = time.time()
    begun = [now - 3600 * hour - 60 for hour in range(1, hours + 1) for _ in range(calls)]
    ledger.post([outcome(intent(at=at, tenant_id=tenant), cost=1_000 + number) for number, at in enumerate(begun)])


def hour_by_hour(*, tenant: int) -> dict[str, list[list[Any]]]:
    """Calls and costs of each hour, as the ledger has them and as they are rolled up."""
    from collections import Counter

    from apps.usage import rollups
    from apps.usage.models import Entry, HourlyRollup

    calls: Counter[str] = Counter()
    costs: Counter[str] = Counter()
    for started_at, cost in Entry.objects.filter(tenant_id=tenant).values_list("started_at", "cost_nano"):
        hour = str(rollups.hour_of(started_at))
        calls[hour] += 1
        costs[hour] += cost
    rolled = HourlyRollup.objects.filter(tenant_id=tenant).order_by("hour").values_list("hour", "calls", "cost_nano")
    return {
        "ledger": [[hour, calls[hour], costs[hour]] for hour in sorted(calls)],
        "rolled up": [[str(hour), *figures] for hour, *figures in rolled],
    }


def deliver(*, task: str, times: int) -> None:
    """Puts a task in the broker's queue, more than once."""
    from gateway_site.celery import app

    for _ in range(times):
        app.send_task(task)


def roll_up() -> int:
    from apps.usage import rollups

    return rollups.roll_up()


def run(*, command: str, arguments: list[str]) -> dict[str, Any]:
    """A management command: its exit status and what it wrote."""
    import io

    from django.core.management import call_command

    out = io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        return {"status": ended.code or 0, "output": out.getvalue()}
    return {"status": 0, "output": out.getvalue()}


def main() -> None:
    serve(globals(), name="desk")


def serve(functions: dict[str, Any], *, name: str) -> None:
    """Does what it is told to by lines, until there are no more."""
    from django.db import close_old_connections

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is logged goes where errors go
    django.setup()
    _say({"ready": name}, answers)
    for line in sys.stdin:
        order = json.loads(line)
        close_old_connections()
        try:
            _say({"told": functions[order["do"]](**order["with"])}, answers)
        except Exception:
            _say({"failed": traceback.format_exc()}, answers)


def _say(answer: dict[str, Any], answers: IO[str]) -> None:
    answers.write(json.dumps(answer, default=str) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
