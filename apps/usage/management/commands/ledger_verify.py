"""`manage.py ledger_verify`: whether the books are true. Ends with 0 if so, with 1 if not, with 2 if nobody can say."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from apps.domain import money
from apps.tenants.models import Tenant
from apps.usage.books import verify
from apps.usage.books.promises import Finding

UNTRUE, UNKNOWN = 1, 2


class Command(BaseCommand):
    help = "Check every promise about ledger, budgets and sums, while calls go on; changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="For programs: one object, the findings in it.")
        parser.add_argument("--tenant", metavar="SLUG", help="Rows and budgets of one tenant.")
        parser.add_argument("--since", metavar="TIME", type=_moment, help="Rows from then on: 2026-11-21[T10:00].")
        parser.add_argument("--quick", action="store_true", help="Rows of the last two days.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = verify.run(
                since=options["since"],
                tenant_id=_tenant(options["tenant"]),
                quick=options["quick"],
                progress=self._progress(),
            )
        except DatabaseError as error:
            raise CommandError(f"The books cannot be checked: {error}", returncode=UNKNOWN) from None
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(_told(report))).decode())
        else:
            self._show(report)
        if report.violations:
            sys.exit(UNTRUE)

    def _progress(self) -> Any:
        """What is being read, on the terminal's last line; nothing where nobody watches."""
        if not self.stderr.isatty():
            return lambda step: None
        return lambda step: self.stderr.write(f"\r\033[Kreading {step}", ending="")

    # --- for people --------------------------------------------------------------------------------------------

    def _show(self, report: verify.Report) -> None:
        if self.stderr.isatty():
            self.stderr.write("\r\033[K", ending="")
        width = max(len(finding.name) for finding in report.findings)
        for finding in report.findings:
            self._line(finding, width=width)
        self.stdout.write("")
        if report.gap_nano:
            self.stdout.write(f"Disks were lost: up to {money.exact(report.gap_nano)} more may have been spent.")
        if report.unchecked.requests:
            which = f"{report.unchecked.requests:,} requests of {report.unchecked.days:,} days"
            self.stdout.write(
                f"I6.attempts is not checked of {which}: a disk was lost then, so attempts may be missing."
            )
        told = f"{report.checked:,} checks in {report.seconds:.1f} s on {report.database}"
        if report.violations:
            self.stdout.write(self.style.ERROR(f"NOT TRUE: {report.violations:,} violations in {told}."))
        else:
            self.stdout.write(self.style.SUCCESS(f"The books are true: {told}."))

    def _line(self, finding: Finding, *, width: int) -> None:
        good = not finding.violations
        mark = self.style.SUCCESS("ok ") if good else self.style.ERROR("BAD")
        number = f"{finding.checked:>12,}" if good else f"{finding.violations:,} of {finding.checked:,}".rjust(12)
        self.stdout.write(f"{mark}  {finding.name:<{width}} {number}  {finding.promise}")
        for offender in finding.offenders:
            self.stdout.write(f"       {offender.id}: {offender.found}, where {offender.expected} should be")
        if (more := finding.violations - len(finding.offenders)) > 0 and finding.offenders:
            self.stdout.write(f"       and {more:,} more")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _tenant(slug: str | None) -> int | None:
    if slug is None:
        return None
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant “{slug}”.", returncode=UNKNOWN)
    return tenant.pk


def _told(report: verify.Report) -> dict[str, Any]:
    return {
        "ok": not report.violations,
        "checked": report.checked,
        "violations": report.violations,
        **msgspec.to_builtins(report),
    }
