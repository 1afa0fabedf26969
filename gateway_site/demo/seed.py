"""Acme: two projects, two people, their keys, limits, a budget, and the week that lies behind them."""

from __future__ import annotations

import datetime
import secrets
from decimal import Decimal

import msgspec
from django.db import transaction
from django.utils import timezone

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.catalog import selectors as catalog
from apps.catalog.models import Model
from apps.domain import money
from apps.domain.limits.budget import span
from apps.domain.snapshot import UNRESTRAINED, Budget
from apps.keys import services as keys
from apps.keys.models import Key
from apps.policies import services as policies
from apps.quotas import selectors as budgets
from apps.quotas import services as quotas
from apps.quotas import windows
from apps.tenants import services as tenants
from apps.tenants.models import Project, Role, Tenant
from apps.usage import ledger, rollups
from gateway_site.demo import catalogue, checks, past

SLUG = "acme"
ADMIN, DEVELOPER = "admin", "developer"
KEY = "Developer's laptop"
PRICED_FOR = datetime.timedelta(days=60)
LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # of passwords: none looks like another
MONTHLY_BUDGET, PROJECT_BUDGET = Decimal(100), Decimal(25)
REPLICA = "demo"
KEPT_MODEL = "fast"


def ensure(*, card: dict[str, str] | None, simulator: str) -> dict[str, str]:
    """What `var/demo.json` shall say. Seeds once; afterwards only what was lost is made anew: address, handout."""
    with transaction.atomic():
        if not Tenant.objects.filter(slug=SLUG).exists():
            return _seed(simulator)
        catalogue.move(simulator=simulator)
        return card or _renew()


def _seed(simulator: str) -> dict[str, str]:
    admin, admin_password = _person(ADMIN, first_name="Ada", last_name="Admin", is_staff=True, is_superuser=True)
    developer, developer_password = _person(DEVELOPER, first_name="Dev", last_name="Developer")
    acme = tenants.create_tenant(actor=admin, name="Acme", slug=SLUG, owner=admin)
    tenants.add_member(acme, actor=admin, user=developer, role=Role.DEVELOPER)
    coding = tenants.create_project(acme, actor=admin, name="Coding assistants")
    support = tenants.create_project(acme, actor=admin, name="Customer support")
    now = timezone.now()
    catalogue.build(actor=admin, simulator=simulator, priced_from=now - PRICED_FOR)
    checks.look_back(now)
    laptop = keys.issue(actor=admin, tenant=acme, project=coding, name=KEY, user=developer)
    bots = {
        name: keys.issue(actor=admin, tenant=acme, project=project, name=title).key
        for name, project, title in (
            ("reviews", coding, "Code review"),
            ("desk", support, "Support desk"),
            ("nightly", support, "Nightly evaluation"),
        )
    }
    _restrain(acme, support, laptop.key, actor=admin)
    _rule(acme, actor=admin)
    _look_back(past.habits(laptop=laptop.key, **bots), now=now)
    return {
        "api_key": laptop.plaintext,
        "admin_user": ADMIN,
        "admin_password": admin_password,
        "developer_user": DEVELOPER,
        "developer_password": developer_password,
    }


def _renew() -> dict[str, str]:
    """The demo is there but its handout is not: nobody knows the secrets any more, so there are new ones."""
    card = {"admin_user": ADMIN, "developer_user": DEVELOPER}
    for name in (ADMIN, DEVELOPER):
        card[f"{name}_password"] = _password()
        accounts.set_password(User.objects.get(username=name), actor=None, password=card[f"{name}_password"])
    laptop = Key.objects.get(tenant__slug=SLUG, name=KEY)
    return card | {"api_key": keys.rotate(laptop, actor=None).plaintext}


def _person(username: str, **fields: object) -> tuple[User, str]:
    password = _password()
    return accounts.create_user(actor=None, username=username, password=password, **fields), password


def _password() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(16))


def _restrain(tenant: Tenant, project: Project, laptop: Key, *, actor: User) -> None:
    """Wide enough never to be in a visitor's way, narrow enough to be seen."""
    quotas.create_limit(
        actor=actor, tenant=tenant, requests_per_minute=1_200, tokens_per_minute=5_000_000, concurrency=200
    )
    quotas.create_limit(actor=actor, key=laptop, requests_per_minute=300, concurrency=50)
    quotas.create_budget(actor=actor, tenant=tenant, amount=money.nano(MONTHLY_BUDGET), period="month")
    quotas.create_budget(actor=actor, project=project, amount=money.nano(PROJECT_BUDGET), period="month")


def _rule(tenant: Tenant, *, actor: User) -> None:
    """A project whose calls stay on a machine of our own, and a model whose answers are kept."""
    records = tenants.create_project(tenant, actor=actor, name="Patient records")
    keys.issue(actor=actor, tenant=tenant, project=records, name="Records desk")
    private = policies.create_policy(
        actor=actor,
        name="private-only",
        required_tags=["private"],
        rules={"card": ("block", "stop"), "secret": ("block", ""), "email": ("flag", "")},
        note="Whatever is said of patients stays in the house",
    )
    policies.assign(private, actor=actor, project=records)
    policies.create_cache(actor=actor, model=Model.objects.get(name=KEPT_MODEL))


def _look_back(habits: list[past.Habit], *, now: datetime.datetime) -> None:
    """The week behind the demo, through the same doors as real usage: budgets know it, rollups are made of it."""
    outcomes = past.outcomes(habits, models=catalog.snapshot_models(int(now.timestamp())), now=now)
    epoch = windows.register(REPLICA)
    book = budgets.rule_book()
    leases: dict[tuple[int, int], windows.Grant] = {}
    charged = []
    for outcome in outcomes:
        intent = outcome.intent
        rules = (*book.tenants[intent.tenant_id].budgets, *book.projects.get(intent.project_id, UNRESTRAINED).budgets)
        grants = [_lease(leases, rule, at=intent.started_at, epoch=epoch) for rule in rules]
        intent = msgspec.structs.replace(
            intent,
            windows=tuple(grant.window_id for grant in grants),
            leases=tuple(grant.lease_id for grant in grants),
        )
        charged.append(msgspec.structs.replace(outcome, intent=intent))
    ledger.post(charged)
    windows.retire(REPLICA)
    rollups.roll_up()
    keys.touch(
        (intent.key_id, datetime.datetime.fromtimestamp(intent.started_at, datetime.UTC), intent.client_address, "")
        for intent in (outcome.intent for outcome in charged)
        if intent.key_id is not None
    )


def _lease(leases: dict[tuple[int, int], windows.Grant], rule: Budget, *, at: float, epoch: int) -> windows.Grant:
    """One lease a budget and period, as a gateway process of that time would have had."""
    period = (rule.id, span(rule.period, timezone=rule.timezone, now=at).starts)
    if period not in leases:
        ask = windows.Ask(rule=rule, need=1, demand=rule.amount, unit=0)
        leases[period] = windows.acquire([ask], replica=REPLICA, epoch=epoch, now=at, replicas=None)[0]
    return leases[period]
