"""What is watched is told once, when it begins, when it becomes worse and when it is over."""

from __future__ import annotations

import datetime

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from apps.alerts import asked, evaluation, services, tasks
from apps.alerts.models import Alert, AlertRule, Delivery, Destination
from apps.audit import selectors as audit
from apps.catalog.models import Provider
from apps.domain import money
from apps.quotas import increases
from apps.quotas import services as quotas
from apps.quotas.models import BudgetWindow
from apps.runtime.state import DeploymentStanding, state
from apps.tenants.models import Role
from apps.usage import figures, ledger
from apps.usage.models import Figure
from tests import factories
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db
MINUTE, DAY = datetime.timedelta(minutes=1), datetime.timedelta(days=1)
NOW = timezone.now().replace(microsecond=0)
RAISED, OVER = "alert.raised", "alert.resolved"


def rule(kind, tenant=None, **fields):
    """With a destination that never sends, so that what is to be told stays to be seen."""
    count = AlertRule.objects.count()
    made = services.create_destination(
        actor=None, tenant=tenant, name=f"us {count}", kind="email", target="us@example.com"
    )
    return services.create_rule(
        actor=None, tenant=tenant, kind=kind, name=f"Rule {count}", destinations=[made.destination], **fields
    )


def told(since=0):
    rows = Delivery.objects.order_by("created_at").values_list("event", "body__data__level")
    return list(rows)[since:]


def window(budget, percent, *, begins=NOW - DAY, days=10):
    return BudgetWindow.objects.create(
        budget=budget, starts=begins, ends=begins + days * DAY, limit=budget.amount,
        settled=budget.amount * percent // 100, ceiling=budget.amount,
    )  # fmt: skip


def spend(row, percent):
    BudgetWindow.objects.filter(pk=row.pk).update(settled=row.limit * percent // 100)


@pytest.fixture
def budget(acme):
    return quotas.create_budget(actor=None, amount=100 * money.NANO, tenant=acme)


def test_a_budget_is_told_at_each_threshold_once_and_each_period_anew(acme, budget):
    rule("budget", acme, settings={"forecast": False})
    row = window(budget, 49)
    for minute, percent in enumerate([49, 50, 55, 79, 81, 81, 100, 130]):
        spend(row, percent)
        assert evaluation.evaluate(NOW + minute * MINUTE) == 1
    assert told() == [(RAISED, 50), (RAISED, 80), (RAISED, 100)]
    alert = Alert.objects.get()
    assert (alert.level, alert.state, alert.tenant_id) == (100, "raised", acme.pk)
    assert "monthly budget of the tenant Acme is spent" in alert.title
    later = row.ends + MINUTE
    window(budget, 60, begins=row.ends)
    evaluation.evaluate(later)
    evaluation.evaluate(later + 6 * MINUTE)
    assert told(3) == [(RAISED, 50), (OVER, 100)]
    assert list(Alert.objects.order_by("pk").values_list("state", flat=True)) == ["resolved", "raised"]


def test_a_budget_that_will_not_last_is_told_by_its_pace(acme, budget):
    rule("budget", acme, settings={"percents": [100]})
    row = window(budget, 9)  # a tenth of its days are over
    evaluation.evaluate(NOW + MINUTE)
    assert told() == []
    spend(row, 12)
    evaluation.evaluate(NOW + 2 * MINUTE)
    assert told() == [(RAISED, 1)]
    assert "will not last" in Alert.objects.get().title


def test_what_flaps_is_one_alert(acme, budget):
    rule("budget", acme, settings={"percents": [50], "forecast": False})
    row = window(budget, 60)
    for minute in range(20):
        spend(row, 60 if minute % 4 == 0 else 10)
        evaluation.evaluate(NOW + minute * MINUTE)
    assert told() == [(RAISED, 50)]
    for minute in range(20, 27):
        evaluation.evaluate(NOW + minute * MINUTE)
    assert told() == [(RAISED, 50), (OVER, 50)]


def test_budgets_of_other_tenants_are_others_business(acme, globex, budget):
    theirs = quotas.create_budget(actor=None, amount=money.NANO, tenant=globex)
    window(theirs, 100)
    project = factories.project(acme)
    mine = quotas.create_budget(actor=None, amount=money.NANO, project=project)
    window(mine, 100), window(budget, 100)
    rules = [rule("budget", acme), rule("budget", acme, project=project), rule("budget")]
    evaluation.evaluate(NOW)
    found = [set(one.alerts.values_list("subject", flat=True)) for one in rules]
    assert found == [
        {f"budget:{budget.pk}", f"budget:{mine.pk}"}, {f"budget:{mine.pk}"},
        {f"budget:{each.pk}" for each in (budget, mine, theirs)},
    ]  # fmt: skip


def test_failing_calls_are_told_of_when_there_are_enough_of_them(acme, globex, website):
    rule("errors", acme, settings={"percent": 50, "minutes": 10, "calls": 4})
    mine = {"tenant_id": acme.pk, "project_id": website.pk}
    theirs = {"tenant_id": globex.pk, "project_id": website.pk}

    def call(whose, status, at=NOW - MINUTE):
        ledger.post([outcome(intent(at=at.timestamp(), **whose), status=status)])

    for _ in range(5):
        call(theirs, "upstream_error")
        call(mine, "upstream_error", at=NOW - 30 * MINUTE)
    for status in ("upstream_error", "upstream_error", "ok"):
        call(mine, status)
    evaluation.evaluate(NOW)
    assert told() == []
    call(mine, "ok")
    evaluation.evaluate(NOW + MINUTE)
    assert [alert.title for alert in Alert.objects.all()] == ["50 % of calls fail"]


def test_a_provider_that_is_down_and_an_open_breaker_are_told_to_operators(acme):
    down = factories.provider("Far away")
    Provider.objects.filter(pk=down.pk).update(is_healthy=False)
    deployment = factories.deployment(at=down)
    standing = dict.fromkeys(("until", "first_token", "tokens_per_second", "success"))
    state.deployments = [
        DeploymentStanding(deployment.pk, "Far away", "m", "open", reason="timeouts", calls=1.0, **standing)
    ]
    try:
        rule("provider"), rule("breaker")
        evaluation.evaluate(NOW)
    finally:
        state.deployments = []
    assert sorted(Alert.objects.values_list("subject", flat=True)) == [
        f"deployment:{deployment.pk}", f"provider:{down.pk}",
    ]  # fmt: skip
    Provider.objects.filter(pk=down.pk).update(is_healthy=True)
    evaluation.evaluate(NOW + MINUTE)
    evaluation.evaluate(NOW + 7 * MINUTE)
    assert told(2) == [(OVER, 0), (OVER, 0)]
    with pytest.raises(ValidationError):
        rule("provider", acme)


def test_unconfirmed_usage_is_told_of_by_count_or_by_amount(acme, globex):
    rule("unconfirmed", acme, settings={"calls": 10, "dollars": 5})
    for tenant, count, nano in ((acme, 9, 4 * money.NANO), (globex, 99, 99 * money.NANO)):
        Figure.objects.create(name=figures.UNCONFIRMED, tenant_id=tenant.pk, value=count)
        Figure.objects.create(name=figures.UNCONFIRMED_NANO, tenant_id=tenant.pk, value=nano)
    evaluation.evaluate(NOW)
    assert told() == []
    Figure.objects.filter(tenant_id=acme.pk, name=figures.UNCONFIRMED_NANO).update(value=5 * money.NANO)
    evaluation.evaluate(NOW + MINUTE)
    assert told() == [(RAISED, 0)]


def test_the_owner_of_a_key_is_told_before_it_expires(acme, globex, website, bob):
    bob.email = "bob@example.com"
    bob.save()
    soon, later = NOW + 3 * DAY, NOW + 30 * DAY
    key = factories.key(website, name="Laptop", user=bob, expires_at=soon).key
    factories.key(website, expires_at=later), factories.key(factories.project(globex), expires_at=soon)
    rule("key_expiry", acme)
    evaluation.evaluate(NOW)
    assert [alert.subject for alert in Alert.objects.all()] == [f"key:{key.pk}"]
    assert sorted(Delivery.objects.values_list("address", flat=True)) == ["", "bob@example.com"]
    evaluation.evaluate(NOW + DAY)
    assert Delivery.objects.count() == 2


def test_keys_that_lie_unused_are_told_of_together(acme, website):
    old = NOW - 100 * DAY
    keys = [factories.key(website, name=name).key for name in ("used", "idle", "never", "new")]
    for key, created, used in zip(keys, (old, old, old, NOW), (NOW, old, None, None), strict=True):
        type(key).objects.filter(pk=key.pk).update(created_at=created, last_used_at=used)
    rule("key_unused", acme)
    evaluation.evaluate(NOW)
    assert Alert.objects.get().text == "idle, never."
    assert evaluation.evaluate(NOW + MINUTE) == 0, "it looks at many rows, and is asked once an hour"


def test_who_asked_for_more_and_who_decides_are_told(acme, budget, bob, alice):
    for user in (bob, alice):
        user.email = f"{user.username}@example.com"
        user.save()
    operator = factories.user("op", is_superuser=True, email="op@example.com")
    project = quotas.create_budget(actor=None, amount=money.NANO, project=factories.project(acme))
    factories.key(project.project, user=bob)
    until = NOW + DAY
    first = increases.request(project, actor=bob, amount=1, reason="Friday", until=until)
    increases.request(budget, actor=bob, amount=1, reason="Friday", until=until)
    assert asked.tell(timezone.now()) == 2
    assert asked.tell(timezone.now()) == 0
    assert sorted(Delivery.objects.values_list("address", flat=True)) == ["alice@example.com", "op@example.com"]
    increases.approve(first, actor=alice, note="Enjoy")
    assert asked.tell(timezone.now()) == 1
    last = Delivery.objects.order_by("created_at").last()
    assert (last.address, last.event) == ("bob@example.com", "increase.approved")
    assert "Enjoy" in last.body["data"]["text"]
    assert operator.is_superuser


def test_a_rule_that_fails_does_not_hold_up_others(acme, budget):
    broken, good = rule("budget", acme), rule("budget", acme)
    AlertRule.objects.filter(pk=broken.pk).update(settings={})
    window(budget, 100)
    assert evaluation.evaluate(NOW) == 1
    assert [alert.rule for alert in Alert.objects.filter(level=100)] == [good]


def test_rules_of_a_tenant_that_is_switched_off_and_disabled_ones_rest(acme, budget):
    services.update_rule(rule("budget", acme), actor=None, is_enabled=False)
    window(budget, 100)
    assert evaluation.evaluate(NOW) == 0
    assert tasks.evaluate() == 0


# --- who may what ----------------------------------------------------------------------------------------------


def test_members_with_the_right_manage_their_tenant_s_and_operators_all(acme, globex, alice, bob, operator):
    viewer = factories.member(acme, role=Role.VIEWER)
    fields = {"name": "n", "kind": "email", "target": "a@example.com"}
    for somebody, tenant in ((bob, acme), (alice, globex), (alice, None), (viewer, None)):
        with pytest.raises(PermissionDenied):
            services.create_destination(actor=somebody, tenant=tenant, **fields)
        with pytest.raises(PermissionDenied):
            services.create_rule(actor=somebody, tenant=tenant, kind="budget", name="n")
    for number, (somebody, tenant) in enumerate(((alice, acme), (viewer, acme), (operator, None), (operator, globex))):
        made = services.create_destination(actor=somebody, tenant=tenant, **(fields | {"name": str(number)}))
        mine = services.create_rule(
            actor=somebody, tenant=tenant, kind="budget", name="n", destinations=[made.destination]
        )
        assert audit.history(mine).get().actor_id == somebody.pk
        services.remove_rule(mine, actor=somebody)
        services.remove_destination(made.destination, actor=somebody)


def test_a_rule_tells_its_own_tenant_s_destinations_only(acme, globex, alice):
    theirs = services.create_destination(actor=None, tenant=globex, name="t", kind="email", target="a@example.com")
    with pytest.raises(ValidationError) as refused:
        services.create_rule(actor=alice, tenant=acme, kind="budget", name="n", destinations=[theirs.destination])
    assert list(refused.value.message_dict) == ["destinations"]
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"percents": []}, {"percents": [0]}, {"percents": "50"}, {"percents": [True]}, {"other": 1}, [], "x",
     {"percents": list(range(1, 12))}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(acme, wrong):
    with pytest.raises(ValidationError) as refused:
        services.create_rule(actor=None, tenant=acme, kind="budget", name="n", settings=wrong or {"percents": []})
    assert list(refused.value.message_dict) == ["settings"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("email", "nobody"), ("email", ""), ("email", ", ".join(["a@example.com"] * 21)),
        ("webhook", "http://example.com/plain"), ("webhook", "https://127.0.0.1/"), ("webhook", "https://10.1.2.3/x"),
        ("webhook", "https://169.254.169.254/latest"), ("slack", "https://localhost/x"), ("slack", "ftp://example.com"),
        ("webhook", "https://user:word@example.com/"), ("pager", "a@example.com"),
    ],
)  # fmt: skip
def test_where_nothing_can_or_may_be_sent_is_refused(acme, kind, target):
    with pytest.raises(ValidationError):
        services.create_destination(actor=None, tenant=acme, name="n", kind=kind, target=target)
    assert not Destination.objects.exists()
