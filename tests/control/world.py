"""One of everything that the admin shows, made by services; and many of everything, made in bulk."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Iterator
from typing import Any

from django.db import models
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from msgspec.structs import replace

from apps.access import services as access
from apps.accounts import identities
from apps.accounts.models import User
from apps.alerts import services as alerts
from apps.alerts.models import Alert, Delivery
from apps.audit.models import Record
from apps.catalog import services as catalog
from apps.catalog.models import AllowedNetwork, Deployment, Model, PinnedEndpoint, Price, Provider
from apps.events import signing
from apps.events.models import Event, Undelivered
from apps.keys import grants, issuers
from apps.keys.models import Grant, Key
from apps.policies import services as policies
from apps.policies.models import CachePolicy, DataPolicy, Intervention
from apps.quotas import services as quotas
from apps.quotas.models import Budget, BudgetWindow, Gap, Increase, Lease, Limit, Replica
from apps.reconciliation import services as reconciliation
from apps.reconciliation.models import Adjustment, Difference, ProviderName, Report
from apps.signin import services as signin
from apps.signin.models import SecondFactor
from apps.tenants.models import Membership, Project, Role, Tenant
from apps.usage import ledger, rollups
from apps.usage.models import Entry, HourlyRollup, Refusal, SealedMonth, Unconfirmed, Verification
from tests import factories
from tests.money.calls import intent, outcome

Rows = dict[type[models.Model], models.Model]
DAY = datetime.timedelta(days=1)


def one_of_everything(name: str = "Plain", *, actor: Any = None) -> Rows:
    """By model. Every text that a person can choose holds `name`, as far as the field allows it."""
    tenant = factories.tenant(f"{name} tenant", slug=f"tenant-{time.monotonic_ns()}")
    user = factories.member(tenant, role=Role.OWNER)
    User.objects.filter(pk=user.pk).update(first_name=name[:150], last_name=name[:150])
    project = _project(tenant, f"{name} project")
    provider = factories.provider(f"{name} provider", tags=[name])
    credential = factories.credential(provider, alias=f"{name} credential"[:60])
    model = factories.model(
        f"{name}-model".replace(" ", ""), display_name=name, aliases=[f"{name}-alias".replace(" ", "")]
    )
    endpoint = factories.endpoint(model)
    deployment = factories.deployment(model, provider, upstream_model=f"{name} upstream")
    price = factories.price(deployment)
    key = factories.key(project, name=f"{name} key", user=user).key
    budget = quotas.create_budget(actor=actor, tenant=tenant, amount=100_000_000_000, period="month")
    now = timezone.now()
    window = BudgetWindow.objects.create(
        budget=budget, starts=now - DAY, ends=now + DAY, limit=budget.amount, settled=42_000_000_000, held=10**9
    )
    replica = Replica.objects.create(name=name[:120], heartbeat=now)
    lease = Lease.objects.create(window=window, replica=replica, epoch=1, granted=10**9)
    limit = quotas.create_limit(actor=actor, key=key, requests_per_minute=1_234)
    network = catalog.allow_network(actor=actor, cidr="10.1.0.0/16", note=name)
    policy = policies.create_policy(actor=actor, name=f"{name} policy"[:60], note=name, rules={"card": ("block", "")})
    policies.assign(policy, actor=actor, tenant=tenant)
    cache = policies.create_cache(actor=actor, key=key)
    call = intent(
        **{"tenant_id": tenant.pk, "project_id": project.pk, "user_id": user.pk, "key_id": key.pk},
        **{"model_id": model.pk, "provider_id": provider.pk, "deployment_id": deployment.pk, "pinned_id": endpoint.pk},
        **{"credential": name[:60], "model_name": name, "upstream_model": name, "user_agent": name},
        **{"windows": (window.pk,), "leases": (lease.pk,)},
    )
    ledger.post([outcome(call, cost=105_000, error_code=name[:64], trail=(name, "chose it"))])
    rollups.roll_up()
    rows: list[models.Model] = [tenant, user, project, provider, model, endpoint, deployment, price, key, budget, limit]
    rows += [credential, network, policy, cache, _intervention(policy, key)]
    rows += [Entry.objects.get(key_id=key.pk), HourlyRollup.objects.get(key_id=key.pk), Record.objects.latest("pk")]
    doubt = outcome(replace(call, attempt=2), state="unconfirmed", high=105_000, provider_request_id=name[:100])
    rows.append(Unconfirmed.objects.get(pk=ledger.post([doubt]).pop()))
    rows += [Verification.objects.create(began_at=now, is_quick=True, failure=name[:200]), replica, _refusal(name, key)]
    rows.append(Gap.objects.create(replica=name[:120], lease=lease.pk, window=window, amount=10**9))
    rows.append(SealedMonth.objects.create(month=now - 500 * DAY, number=1, rows=1, cost_nano=105_000))
    rows += _sign_in(name, user, tenant)
    rows.append(access.issue(user, name=f"{name} token"[:100]).token)
    rows.append(_program(name, user, project))
    rows += _alerts(name, tenant, budget)
    rows += [*_agents(name, tenant, project), *_reports(name, provider, project)]
    rows += [*_events(name, tenant), *schedules(name)]
    return {type(row): row for row in rows}


def _intervention(policy: DataPolicy, key: Key) -> Intervention:
    whose = {"tenant_id": key.tenant_id, "project_id": key.project_id, "key_id": key.pk, "user_id": key.user_id}
    named = {"policy": policy, "policy_name": policy.name, "action": "block", "kinds": {"card": 2}}
    return Intervention.objects.create(pk=uuid.uuid4(), request_id=uuid.uuid4(), at=timezone.now(), **whose, **named)


def _refusal(name: str, key: Key) -> Refusal:
    whose = {"tenant_id": key.tenant_id, "project_id": key.project_id, "key_id": key.pk, "user_id": key.user_id}
    told = {"model_name": name[:200], "reason": "requests", "status": 429, "count": 312}
    now = timezone.now()
    return Refusal.objects.create(pk=uuid.uuid4(), hour=now, first_at=now, last_at=now, **whose, **told)


def _alerts(name: str, tenant: Tenant, budget: Budget) -> list[models.Model]:
    target = "https://example.com/hook"
    place = alerts.create_destination(actor=None, tenant=None, name=name[:100], kind="slack", target=target).destination
    rule = alerts.create_rule(actor=None, tenant=None, kind="budget", name=name[:100], destinations=[place])
    now = timezone.now()
    told = {"title": name[:200], "text": name, "tenant_id": tenant.pk}
    alert = Alert.objects.create(rule=rule, subject=f"budget:{budget.pk}", raised_at=now, seen_at=now, **told)
    Delivery.objects.create(reason=f"{time.monotonic_ns()}", alert=alert, destination=place, event=name[:32], body={})
    more = Increase.objects.create(budget=budget, amount=10**9, reason=name[:1000], note=name, until=now + DAY)
    return [place, rule, alert, more]


def _agents(name: str, tenant: Tenant, project: Project) -> list[models.Model]:
    """Whose tokens are let in, and what coding agents keep to."""
    trusted = {"url": f"https://id.example.com/{time.monotonic_ns()}", "audiences": [name], "algorithms": ["RS256"]}
    issuer = issuers.create_issuer(actor=None, name=name[:60], **trusted, tenant=tenant, project=project)
    return [issuer, policies.settle(actor=None, name=name[:60], tenant=tenant, settings={name: name}, note=name[:200])]


def _reports(name: str, provider: Provider, project: Project) -> list[models.Model]:
    """What its provider says of yesterday, and what was posted of it."""
    day = timezone.now().date() - DAY
    made = {"provider": provider, "shape": "anthropic_cost", "is_fetched": False, "state": "ready", "version": 1}
    told = {"has_cost": True, "by_model": True, "by_account": True, "file_name": name[:200]}
    report = Report.objects.create(first_day=day, last_day=day, **made, **told)
    line = {"report": report, "day": day, "model": name[:200], "credential": name[:400]}
    amounts = {"reported_nano": 205_000, "counted_nano": 100_000, "difference_nano": 105_000}
    difference = Difference.objects.create(**line, **amounts, status="not_here", kinds={"counted": [1, 2, 3, 4, 5]})
    adjustment = Adjustment.objects.create(report=report, version=1, state="posted", project=project, note=name[:200])
    item = {"day": day, "model": name[:200], "credential": name[:400], "amount_nano": 105_000, "counted_nano": 100_000}
    adjustment.items.create(**item, state="posted", rows=1)
    known = ProviderName.objects.create(provider=provider, name=name[:200], upstream_model=name[:200])
    address = {"vendor": "anthropic", "address": "https://api.anthropic.com", "secret": "sk-ant-admin-0123456789"}
    source = reconciliation.create_source(actor=None, provider=factories.provider(f"{name} reporter"), **address)
    return [report, difference, adjustment, known, source]


def _events(name: str, tenant: Tenant) -> list[models.Model]:
    """A sink that has refused one for good. It listens for what nobody does here."""
    target = {"kind": "webhook", "target": "https://events.invalid/hook", "kinds": ["grant.ended"]}
    sink = signing.create(actor=None, name=name[:100], **target).sink
    event = Event.objects.create(kind="grant.ended", tenant_id=tenant.pk, data={"client": name}, position=-sink.pk)
    told = {"tenant_id": tenant.pk, "attempts": 9, "message": name[:200]}
    return [sink, Undelivered.objects.create(sink=sink, event=event, position=-sink.pk, state="dead", **told)]


def _sign_in(name: str, user: User, tenant: Tenant) -> list[models.Model]:
    """What somebody signs in with."""
    number = time.monotonic_ns()
    about = {"slug": f"provider-{number}", "issuer": "https://id.example.com", "client_id": name[:255]}
    made = signin.create_provider(actor=None, name=name[:60], **about)
    signin.add_rule(made, actor=None, group=name[:255], tenant=tenant, role=Role.VIEWER)
    identity = identities.link(user, actor=None, issuer="https://id.example.com", subject=f"{number} {name}"[:255])
    return [made, identity, SecondFactor.objects.create(user=user, name="authenticator")]


def _program(name: str, user: User, project: Project) -> Grant:
    """One that somebody has signed in."""
    begun = grants.begin(client=name, address="192.0.2.1")
    waiting = grants.awaited(begun.user_code)
    assert waiting is not None
    return grants.approve(waiting, actor=user, project=project)


def _project(tenant: Tenant, name: str) -> Project:
    """Names that make no slug need one."""
    project = Project.objects.create(tenant=tenant, name=name, slug="the-project")
    return project


def schedules(name: str) -> list[models.Model]:
    interval = IntervalSchedule.objects.create(every=7, period="days")
    crontab = CrontabSchedule.objects.create(minute="7")
    task = PeriodicTask.objects.create(name=name, task="apps.usage.tasks.roll_up", interval=interval, description=name)
    return [interval, crontab, task]


def many_of_everything(count: int, *, start: int = 0) -> None:
    """`count` rows of every table that the admin lists, each with others of its own, numbered from `start`."""
    numbers = range(start, start + count)
    people = _many_people(numbers)
    called = _many_models(numbers, people[0])
    _many_rules(numbers, [*people, called[0]])
    names = ("tenant_id", "project_id", "user_id", "key_id", "model_id", "provider_id", "deployment_id")
    subjects = [dict(zip(names, (row.pk for row in rows), strict=True)) for rows in zip(*people, *called, strict=True)]
    ledger.post([outcome(intent(**subject), cost=1_000_000) for subject in subjects])
    rollups.roll_up()


def _many_people(numbers: range) -> list[list[Any]]:
    """Tenants, projects, users and keys."""
    tenants = _made(Tenant(name=f"tenant {n}", slug=f"tenant-{n}") for n in numbers)
    users = _made(User(username=f"user-{n}", is_staff=True, password="!") for n in numbers)
    projects = _made(
        Project(tenant=tenant, name=f"project {n}", slug="only") for n, tenant in zip(numbers, tenants, strict=True)
    )
    _made(Membership(tenant=tenant, user=user, role=Role.OWNER) for tenant, user in zip(tenants, users, strict=True))
    keys = _made(
        Key(
            tenant=tenant,
            project=project,
            user=user,
            created_by=user,
            name=f"key {n}",
            public_id=f"{n:012}",
            last_four="abcd",
        )
        for n, tenant, project, user in zip(numbers, tenants, projects, users, strict=True)
    )
    return [tenants, projects, users, keys]


def _many_models(numbers: range, tenants: list[Any]) -> list[list[Any]]:
    """Models, providers and deployments, priced, each model offered to its tenant."""
    address = "https://api.anthropic.com"
    providers = _made(
        Provider(name=f"provider {n}", vendor="anthropic", protocol="anthropic_messages", base_url=address)
        for n in numbers
    )
    chosen = _made(Model(name=f"model-{n}", aliases=[f"alias-{n}"]) for n in numbers)
    offer = Model.tenants.through
    offer.objects.bulk_create(
        offer(model_id=model.pk, tenant_id=tenant.pk) for model, tenant in zip(chosen, tenants, strict=True)
    )
    deployments = _made(
        Deployment(model=model, provider=provider, upstream_model="m")
        for model, provider in zip(chosen, providers, strict=True)
    )
    amounts = dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), 1_000_000_000)
    _made(Price(deployment=row, effective_from=timezone.now() - DAY, **amounts) for row in deployments)
    _made(PinnedEndpoint(name=f"endpoint-{n}", model=model) for n, model in zip(numbers, chosen, strict=True))
    ruling = _made(DataPolicy(name=f"policy {n}") for n in numbers)
    _made(
        Intervention(
            **{"pk": uuid.uuid4(), "request_id": uuid.uuid4(), "at": timezone.now(), "tenant": tenant},
            **{"policy": policy, "policy_name": policy.name, "action": "mask", "kinds": {"card": 1}},
        )
        for policy, tenant in zip(ruling, tenants, strict=True)
    )
    _made(CachePolicy(model=model) for model in chosen)
    _made(AllowedNetwork(cidr=f"10.{n // 256}.{n % 256}.0/24") for n in numbers)
    return [chosen, providers, deployments]


def _many_rules(numbers: range, tables: list[list[Any]]) -> None:
    """Budgets with their windows, limits, schedules and audit records."""
    now = timezone.now()
    budgets = _made(Budget(amount=10**9, **_subject(index, *tables)) for index in range(len(numbers)))
    _made(
        BudgetWindow(budget=budget, starts=now - DAY, ends=now + DAY, limit=10**9, settled=n + 1)
        for n, budget in zip(numbers, budgets, strict=True)
    )
    _made(Limit(concurrency=5, **_subject(index, *tables)) for index in range(len(numbers)))
    _made(PeriodicTask(name=f"task {n}", task="t", interval=_interval()) for n in numbers)
    _made(
        Record(actor_name="x", action="key.issued", target_type="keys.key", target_id=str(n), area="keys", revision=n)
        for n in numbers
    )


def _made(rows: Iterator[Any]) -> list[Any]:
    made = list(rows)
    return list(type(made[0])._base_manager.bulk_create(made))


def _subject(n: int, *tables: list[Any]) -> dict[str, Any]:
    """Of each kind in turn."""
    kind = n % len(tables)
    return {("tenant", "project", "user", "key", "model")[kind]: tables[kind][n]}


def _interval() -> IntervalSchedule:
    return IntervalSchedule.objects.get_or_create(every=5, period="minutes")[0]
