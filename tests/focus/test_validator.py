"""The FinOps Foundation's own validator over a file of ours. It lives in an environment of its own (see
`requirements/focus.in`), which is made once in the one that runs the tests.

Version 1.0.0 calls four columns otherwise than the specification that it judges by, and asks one rule of a column,
ChargeType, that only the drafts had: the columns are renamed for it, and that rule is left out.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import venv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.catalog.models import Model, Provider
from apps.domain import money
from apps.reconciliation import services, working
from apps.reconciliation.models import Adjustment
from apps.tenants.models import Project
from apps.usage import rollups
from apps.usage.models import HourlyRollup
from tests import factories
from tests.architecture import tree
from tests.control.reports import billed, body

LOCK = tree.ROOT / "requirements" / "focus.txt"
ITS_NAMES = {
    "ProviderName": "Provider",
    "PublisherName": "Publisher",
    "InvoiceIssuerName": "InvoiceIssuer",
    "ResourceId": "ResourceID",
}
OF_DRAFTS = "overrides:\n  - SkuPriceId_Nullable\n"
DAYS = 3
OVERHEAD = 7_654_321_987  # nano-USD

# Making the environment takes a minute, where the machine is busy several.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def judge() -> Path:
    """Its environment."""
    folder = Path(sys.prefix) / "focus"
    made = folder / "made.txt"
    if not made.exists() or made.read_bytes() != LOCK.read_bytes():
        venv.create(folder, clear=True, with_pip=False)
        options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--require-hashes", "--no-deps")
        command = [sys.executable, "-m", "pip", "--python", folder, "install", *options, "--requirement", LOCK]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs a package index: {done.stderr.strip().splitlines()[-1][:200]}")
        made.write_bytes(LOCK.read_bytes())
    return folder


@pytest.fixture
def file(db, tmp_path) -> Path:
    call_command("seed_scale", tenants=2, keys=40, entries=200, days=DAYS, seed=5, verbosity=0)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    adjust(today - timedelta(days=DAYS - 1))
    path = tmp_path / "charges.csv"
    days = ("--from", f"{today - timedelta(days=DAYS):%Y-%m-%d}", "--to", f"{today:%Y-%m-%d}")
    call_command("focus_export", str(path), *days, verbosity=0)
    return path


def adjust(day: datetime) -> None:
    """Books of that day what a provider has billed beyond what it was called for: of a model that was called, and of
    one that never was, which is an overhead."""
    called = HourlyRollup.objects.filter(hour__gte=day, hour__lt=day + timedelta(days=1), cost_nano__gt=0)
    model, provider = called.values_list("model_id", "provider_id").first()
    actor, name = factories.user(is_staff=True, is_superuser=True), Model.objects.get(pk=model).name
    results = billed(OVERHEAD, model="past-weir"), billed(10**12, model=name)
    report = services.upload(
        actor=actor,
        provider=Provider.objects.get(pk=provider),
        shape="anthropic_cost",
        body=body(*results, day=day.date()),
    )
    working.work()
    report.refresh_from_db()
    project = Project.objects.order_by("pk").first()
    made = services.post(report, actor=actor, version=report.version, statuses=services.POSTABLE, project=project)
    working.work()
    made.refresh_from_db()
    assert made.state == Adjustment.State.POSTED
    rollups.roll_up()


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def verdict(judge: Path, file: Path) -> str:
    heading, rest = file.read_text().split("\n", 1)
    named = ",".join(ITS_NAMES.get(name, name) for name in heading.strip().split(","))
    file.write_text(f"{named}\n{rest}")
    skipped = file.with_name("skipped.yaml")
    skipped.write_text(OF_DRAFTS)
    (packages,) = judge.glob("lib/python*/site-packages")  # it looks for its list of currencies from there
    program = "from focus_validator.main import main; main()"
    options = ("--data-file", str(file), "--validate-version", "1.0", "--override-file", str(skipped))
    done = subprocess.run(
        [judge / "bin" / "python", "-c", program, *options], cwd=packages, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_foundations_validator_is_content_but_not_with_another_currency(judge, file):
    found = rows(file)
    (overhead,) = [row for row in found if row["ChargeCategory"] == "Adjustment"]
    assert Decimal(overhead["BilledCost"]) == money.dollars(OVERHEAD)
    assert (overhead["ConsumedQuantity"], overhead["SkuId"], overhead["x_Calls"]) == ("", "", "0")
    assert len(found) > 10
    said = verdict(judge, file)
    assert "Validation succeeded" in said, said[-2_000:]
    # It would not be with another currency. Renamed by now, as it wants them.
    file.write_text(file.read_text().replace(",USD,", ",Dollars,"))
    said = verdict(judge, file)
    assert "BillingCurrency_IsCurrencyCode" in said
    assert "Validation succeeded" not in said
