"""The real accounting does what the model does, step by step; and one that is broken does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from apps.domain.limits.credit import Room
from apps.quotas import leases, windows
from apps.quotas.models import Lease, Replica
from apps.usage import pages, recovery, rows
from apps.usage.books import verify
from tests.money.machine import Money
from tests.money.model_rules import Violation

# More of them with WEIR_MONEY_EXAMPLES=2000, say; then a failure is also made small.
EXAMPLES = int(os.environ.get("WEIR_MONEY_EXAMPLES", "0"))
USUAL = {"sqlite": 15, "postgresql": 8}
NEEDED = 60


@pytest.fixture
def money(transactional_db, folder, monkeypatch):
    """A refusal is not put off, so that it can be compared."""
    monkeypatch.setattr(leases, "RECALL_SECONDS", 0.0)
    return type("Money", (Money,), {"folder": folder})


def play(machine, *, examples: int) -> None:
    """Always the same games: what fails here fails again."""
    phases = (Phase.generate, Phase.shrink) if examples > NEEDED else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=phases, report_multiple_bugs=False,
        ),
    )  # fmt: skip


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_leases_journals_and_the_ledger_do_what_the_model_does(money):
    play(money, examples=EXAMPLES or USUAL[connection.vendor])
    report = verify.run()
    assert [finding for finding in report.findings if finding.violations] == []
    assert report.checked > 0


# --- what the product must not become ------------------------------------------------------------------------------


def no_limit_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(windows, "_room", lambda rule, window: Room(10**6, 10**6))


def every_row_is_new(patch: pytest.MonkeyPatch) -> None:
    insert = rows.insert

    def all_of_them(fields):
        insert(fields)
        return {row[0] for row in fields}

    patch.setattr(rows, "insert", all_of_them)


def open_attempts_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pages.File, "open_attempts", lambda self: [])


def retired_before_it_is_replayed(patch: pytest.MonkeyPatch) -> None:
    replay = recovery._replay

    def early(path: Path):
        windows.retire(path.stem)
        return replay(path)

    patch.setattr(recovery, "_replay", early)


def released_when_fenced(patch: pytest.MonkeyPatch) -> None:
    fence = windows.fence

    def and_free() -> list[str]:
        fenced = fence()
        windows.close(list(Lease.objects.filter(replica__name__in=fenced, is_open=True)))
        return fenced

    patch.setattr(windows, "fence", and_free)


def never_fenced(patch: pytest.MonkeyPatch) -> None:
    def only_marked() -> list[str]:
        silent = Replica.objects.filter(fenced_at=None, heartbeat__lt=windows.Now() - windows.DEAD_AFTER)
        silent.update(fenced_at=windows.Now())
        return []

    patch.setattr(windows, "fence", only_marked)


def credit_is_spent_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(windows, "_PAY_FROM_LEASE", windows._PAY_FROM_LEASE.replace("credit - %s", "credit - 0 * %s"))
    patch.setattr(windows, "_BOOK", windows._BOOK.replace("credit = credit - %s", "credit = credit - 0 * %s"))


def corrections_go_to_everybody(patch: pytest.MonkeyPatch) -> None:
    charge = windows.charge

    def pooled(charges):
        charge((window, lease if amount >= 0 else None, amount) for window, lease, amount in charges)

    patch.setattr(windows, "charge", pooled)


def more_is_given_back_than_is_free(patch: pytest.MonkeyPatch) -> None:
    release = windows.release
    patch.setattr(windows, "release", lambda keeps: release({lease: windows.Keep(0, 0) for lease in keeps}))


def losses_are_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(windows.Gap.objects, "bulk_create", list)


def an_overrun_is_cut(patch: pytest.MonkeyPatch) -> None:
    most = rows.most
    patch.setattr(rows, "most", lambda outcome: min(most(outcome), outcome.intent.reserved))


BREAKAGES: list[Callable[[pytest.MonkeyPatch], None]] = [
    no_limit_check,
    every_row_is_new,
    open_attempts_are_forgotten,
    retired_before_it_is_replayed,
    released_when_fenced,
    never_fenced,
    credit_is_spent_twice,
    corrections_go_to_everybody,
    more_is_given_back_than_is_free,
    losses_are_not_told,
    an_overrun_is_cut,
]


@pytest.mark.sqlite
@pytest.mark.timeout(300)
@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.__name__)
def test_a_broken_accounting_does_not(money, monkeypatch, breakage):
    breakage(monkeypatch)
    with pytest.raises(Violation):
        play(money, examples=NEEDED)
