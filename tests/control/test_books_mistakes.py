"""A mistake at a command of the books ends with 2 and one line, before anything is asked or done."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def test_sealing_a_month_without_rows_is_a_mistake():
    with pytest.raises(CommandError, match=r"^2020-01 has no rows, or") as mistake:
        call_command("ledger_seal", "--month", "2020-01")
    assert mistake.value.returncode == 2


def test_sealing_without_a_retention_is_a_mistake(settings):
    settings.WEIR_RETENTION_MONTHS = None
    with pytest.raises(CommandError, match="say --keep or --month") as mistake:
        call_command("ledger_seal")
    assert mistake.value.returncode == 2


@pytest.mark.parametrize("months", ["0", "-3"])
def test_keeping_no_month_or_less_is_a_mistake(months):
    with pytest.raises(CommandError, match=r"^--keep is 1 or more: ") as mistake:
        call_command("ledger_seal", "--keep", months, "--dry-run")
    assert mistake.value.returncode == 2


@pytest.mark.parametrize("arguments", [[], ["somebody", "--list"]])
def test_a_replica_is_named_or_all_are_listed(arguments):
    with pytest.raises(CommandError, match=r"^Say which one is lost, or --list") as mistake:
        call_command("replica_lost", *arguments)
    assert mistake.value.returncode == 2


def test_nobody_is_asked_whether_an_unknown_replica_is_lost(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(question))
    with pytest.raises(CommandError, match=r"There is no replica nobody. Known are: none\.") as mistake:
        call_command("replica_lost", "nobody")
    assert mistake.value.returncode == 2
