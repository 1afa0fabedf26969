"""From what is so to what is told: alerts are raised once, rise by level, and are over when nothing was found for a
while. One worker at a time evaluates a rule; a second one finds it done."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.alerts import conditions, outbox
from apps.alerts.conditions import Finding
from apps.alerts.kinds import Kind
from apps.alerts.models import Alert, AlertRule
from apps.quotas import marks
from apps.runtime.failpoints import failpoint
from apps.tenants.models import Tenant

log = structlog.get_logger(__name__)
QUIET = timedelta(minutes=5)  # so long nothing is found before an alert is over: what flaps stays one alert
AGAIN = timedelta(seconds=30)  # no sooner is a rule asked again: two runs at a time are one


def evaluate(now: datetime) -> int:
    """All enabled rules of active tenants; how many were asked. What fails for one is logged and fails for no other."""
    rules = AlertRule.objects.filter(Q(tenant=None) | Q(tenant__is_active=True), is_enabled=True)
    done = 0
    for pk, kind in rules.order_by("pk").values_list("pk", "kind"):
        pause = conditions.SLOW.get(Kind(kind), AGAIN)
        try:
            done += _evaluate_one(pk, now, pause=pause)
        except Exception as error:
            log.warning("alert.rule_failed", rule=pk, error=type(error).__name__, message=str(error)[:200])
    return done


@transaction.atomic
def _evaluate_one(pk: int, now: datetime, *, pause: timedelta) -> int:
    due = Q(evaluated_at=None) | Q(evaluated_at__lte=now - pause)
    if not AlertRule.objects.filter(due, pk=pk, is_enabled=True).update(evaluated_at=now):  # also locks the row
        return 0
    rule = AlertRule.objects.select_related("tenant", "project").get(pk=pk)
    found = {(each.subject, each.period): each for each in conditions.findings(rule, now)}
    is_open = {(row.subject, row.period): row for row in rule.alerts.filter(state=Alert.State.RAISED)}
    for name, finding in found.items():
        if (alert := is_open.get(name)) is None:
            _raise(rule, finding, now)
        else:
            _go_on(alert, finding, now)
    for name, alert in is_open.items():
        if name not in found:
            _go_quiet(alert, now)
    failpoint("alert.before_commit")
    return 1


def _raise(rule: AlertRule, finding: Finding, now: datetime) -> None:
    alert = Alert.objects.create(
        rule=rule, tenant_id=finding.tenant_id, subject=finding.subject, period=finding.period, level=finding.level,
        title=finding.title[:200], text=finding.text, raised_at=now, seen_at=now,
    )  # fmt: skip
    _tell(alert, "alert.raised", people=finding.people)
    _publish(rule, finding)


def _go_on(alert: Alert, finding: Finding, now: datetime) -> None:
    """Told anew only where it has become worse."""
    has_risen = finding.level > alert.level
    alert.seen_at, alert.quiet_since = now, None
    if has_risen or finding.level == alert.level:
        alert.title, alert.text = finding.title[:200], finding.text
    alert.level = max(alert.level, finding.level)
    alert.save(update_fields=["seen_at", "quiet_since", "title", "text", "level"])
    if has_risen:
        _tell(alert, "alert.raised", people=finding.people)
        _publish(alert.rule, finding)


def _publish(rule: AlertRule, finding: Finding) -> None:
    """A budget's marks that are the rule's own: nobody but the rule asks for them."""
    if rule.kind == Kind.BUDGET and finding.period.isdigit():
        marks.look(int(finding.period), marks=[mark for mark in rule.settings["percents"] if mark <= finding.level])


def _go_quiet(alert: Alert, now: datetime) -> None:
    if alert.quiet_since is None:
        alert.quiet_since = now
    if now - alert.quiet_since >= QUIET:
        alert.state, alert.resolved_at = Alert.State.RESOLVED, now
    alert.save(update_fields=["quiet_since", "state", "resolved_at"])
    if alert.state == Alert.State.RESOLVED:
        _tell(alert, "alert.resolved")


def _tell(alert: Alert, event: str, *, people: tuple[str, ...] = ()) -> None:
    body = _body(alert, event)
    reason = f"alert:{alert.pk}:{event}:{alert.level}"
    for destination in alert.rule.destinations.filter(is_enabled=True):
        outbox.put(reason, event, body, alert=alert, destination=destination)
    for address in people:
        outbox.put(reason, event, body, alert=alert, address=address)


def _body(alert: Alert, event: str) -> dict[str, Any]:
    """What receivers get: see docs/alerts.md. No secret is ever in it."""
    slug = Tenant.objects.filter(pk=alert.tenant_id).values_list("slug", flat=True).first()
    page = f"/t/{slug}/alerts/" if alert.rule.tenant_id is not None else "/admin/alerts/alert/"
    moment = alert.resolved_at if event == "alert.resolved" else alert.seen_at
    return {
        "type": event,
        "timestamp": moment.isoformat() if moment is not None else "",
        "data": {
            "alert": alert.pk,
            "rule": {"id": alert.rule_id, "name": alert.rule.name, "kind": alert.rule.kind},
            "tenant": slug,
            "url": f"{settings.WEIR_BASE_URL}{page}",
            "subject": alert.subject,
            "level": alert.level,
            "title": alert.title,
            "text": alert.text,
            "raised_at": alert.raised_at.isoformat(),
            "resolved_at": None if alert.resolved_at is None else alert.resolved_at.isoformat(),
        },
    }
