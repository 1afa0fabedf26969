"""What holds of budget windows and leases, and that windows have counted what the ledger's rows say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from apps.quotas.models import BudgetWindow
from apps.quotas.windows import QUARANTINE
from apps.usage import charges
from apps.usage.books.promises import Check, Finding, Scope, count, only
from apps.usage.models import SealedWindow

# The reaper comes every minute; by then it has been there, or is not running at all.
PATIENCE = timedelta(hours=1)
SILENCE = timedelta(days=1)
# A call that is priced by a period may have come a little before it, and clocks differ.
MARGIN = timedelta(hours=1)

_OF_TENANT = """budget_id IN (SELECT b.id FROM quotas_budget b
    LEFT JOIN tenants_project p ON p.id = b.project_id LEFT JOIN keys_key k ON k.id = b.key_id
    WHERE COALESCE(b.tenant_id, p.tenant_id, k.tenant_id) = %s)"""


class Settled:
    """Sums what the ledger's rows charged to each window, slice by slice."""

    def __init__(self) -> None:
        self.finding = Finding("I2.settled", "A window has counted exactly what the rows that name it were charged.")
        self._sums: dict[int, int] = defaultdict(int)

    def add(self, bounds: Sequence[Any], *, tenant_id: int | None) -> None:
        for window_id, amount in charges.by_window(bounds, tenant_id=tenant_id).items():
            self._sums[window_id] += amount

    def compare(self, scope: Scope) -> None:
        """With the windows all of whose rows were read. A window that is gone with its budget owes nothing."""
        sealed = SealedWindow.objects.values("window").annotate(amount=Sum("high_nano"))
        for window_id, amount in sealed.values_list("window", "amount").iterator():
            self._sums[window_id] += amount
        windows = BudgetWindow.objects.order_by("pk")
        if scope.tenant_id is not None:
            windows = windows.filter(_of_tenant(scope.tenant_id))
        if scope.since is not None:
            windows = windows.filter(starts__gte=scope.since + MARGIN)
        for window_id, settled in windows.values_list("pk", "settled").iterator():
            self.finding.count(1)
            if (charged := self._sums.get(window_id, 0)) != settled:
                self.finding.accuse(window_id, expected=charged, found=settled)


def _of_tenant(tenant_id: int) -> Q:
    of = Q(budget__tenant=tenant_id) | Q(budget__project__tenant=tenant_id) | Q(budget__key__tenant=tenant_id)
    return of


def windows_and_leases(scope: Scope) -> list[Finding]:
    """What is to be seen in the tables of budgets alone."""
    where, tenant = (f"w.{_OF_TENANT}", [scope.tenant_id]) if scope.tenant_id is not None else ("1 = 1", [])
    checks = _window_checks()
    count(_WINDOWS.format(where=where), tenant, checks)
    moments = [scope.now - QUARANTINE - PATIENCE, scope.now - SILENCE, scope.now - SILENCE]
    adapted = [connection.ops.adapt_datetimefield_value(moment) for moment in moments]
    leases = _lease_checks()
    count(_LEASES.format(where=where), [*adapted, *tenant], leases)
    return only([*checks, *leases])


_WINDOWS = """SELECT w.id, w.settled, w.held, w.credit, w.overrun, w.ceiling,
    COALESCE(l.outstanding, 0) AS outstanding, COALESCE(l.credit, 0) AS lent
    FROM quotas_budgetwindow w LEFT JOIN
    (SELECT window_id, SUM(granted - settled) AS outstanding, SUM(credit) AS credit
        FROM quotas_lease WHERE is_open GROUP BY window_id) l ON l.window_id = w.id
    WHERE {where}"""
_LEASES = """SELECT l.id, l.is_open, l.granted, l.settled, l.credit,
    l.is_open AND l.granted - l.settled + l.credit > 0 AND
        (COALESCE(r.fenced_at < %s, FALSE) OR (r.fenced_at IS NULL AND r.heartbeat < %s)) AS leaked,
    l.is_open AND l.granted - l.settled + l.credit > 0 AND w.ends < %s AND l.epoch <> r.epoch
        AND r.fenced_at IS NULL AS outlived
    FROM quotas_lease l JOIN quotas_replica r ON r.id = l.replica_id JOIN quotas_budgetwindow w ON w.id = l.window_id
    WHERE {where}"""


def _window_checks() -> list[Check]:
    return [
        Check(
            "I1.ceiling",
            "Spent, held and lent come to no more than the ceiling and known overruns.",
            wrong="settled + held + credit > ceiling + overrun",
            expected="ceiling + overrun",
            found="settled + held + credit",
        ),
        Check(
            "I1.negative",
            "Nothing that a window counts is below zero.",
            wrong="settled < 0 OR held < 0 OR credit < 0 OR overrun < 0",
            expected="0",
            found="CASE WHEN settled < 0 THEN settled WHEN held < 0 THEN held WHEN credit < 0 THEN credit"
            " ELSE overrun END",
        ),
        Check(
            "I2.held",
            "What a window holds is what its open leases have outstanding.",
            wrong="held <> outstanding",
            expected="outstanding",
            found="held",
        ),
        Check(
            "I2.credit",
            "What a window lent of its overdraft is what its open leases were lent.",
            wrong="credit <> lent",
            expected="lent",
            found="credit",
        ),
    ]


def _lease_checks() -> list[Check]:
    return [
        Check(
            "I1.lease",
            "No lease has spent more than it was granted.",
            wrong="settled > granted OR credit < 0",
            expected="granted",
            found="settled",
        ),
        Check(
            "I4.gone",
            "A replica that is gone holds nothing once its quarantine is over.",
            of="is_open",
            wrong="leaked",
            expected="0",
            found="granted - settled + credit",
        ),
        Check(
            "I4.ended",
            "A living replica holds nothing of a period that is long over from before it was fenced.",
            of="is_open",
            wrong="outlived",
            expected="0",
            found="granted - settled + credit",
        ),
    ]
