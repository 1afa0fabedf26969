"""`manage.py ledger_seal`: keep the totals of old months and drop their rows.

Ends with 0 if that is done, with 1 if the books do not let a month be sealed, with 2 on a mistake.
"""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.domain import money
from apps.usage import retention, sealing
from apps.usage.models import SealedMonth

MISTAKE = 2


class Command(BaseCommand):
    help = "Seal the months that are past WEIR_RETENTION_MONTHS: their totals stay, their rows go."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--keep", metavar="MONTHS", type=int, help="Instead of WEIR_RETENTION_MONTHS.")
        which.add_argument("--month", metavar="YYYY-MM", type=_month, help="That month, if it has been over for one.")
        parser.add_argument("--export", metavar="FILE", type=Path, help="Write the rows there first (.jsonl.gz).")
        parser.add_argument("--dry-run", action="store_true", help="Only tell what would be sealed.")

    def handle(self, *args: Any, **options: Any) -> None:
        months = self._months(options)
        if options["dry_run"]:
            self.stdout.write(f"To be sealed: {_listed(months)}.")
            return
        exported = None
        if options["export"] and months:
            try:
                exported = retention.export(months, options["export"])
            except OSError as error:
                raise CommandError(f"The rows cannot be written out: {error}") from None
        refused = [month for month in months if not self._seal(month, exported)]
        if not months:
            self.stdout.write("Nothing to seal.")
        if refused:
            raise CommandError(f"Not sealed: {_listed(refused)}.")

    def _months(self, options: dict[str, Any]) -> list[datetime]:
        month, keep = options["month"], options["keep"]
        if month is None:
            if keep is not None and keep < retention.LEAST:
                raise CommandError(
                    f"--keep is {retention.LEAST} or more: what comes late finds its month whole for so long.",
                    returncode=MISTAKE,
                )
            if keep is None and not settings.WEIR_RETENTION_MONTHS:
                raise CommandError(
                    "WEIR_RETENTION_MONTHS is not set, so rows are kept for ever: say --keep or --month.",
                    returncode=MISTAKE,
                )
            return retention.due(timezone.now(), months=keep)
        if month not in retention.due(timezone.now(), months=retention.LEAST):
            raise CommandError(f"{month:%Y-%m} has no rows, or has not been over for a month.", returncode=MISTAKE)
        return [month]

    def _seal(self, month: datetime, exported: retention.Exported | None) -> bool:
        try:
            sealed = sealing.seal(month, exported=exported)
        except sealing.Refused as refusal:
            self.stderr.write(f"{month:%Y-%m}: {refusal}")
            return False
        if sealed is not None:
            self.stdout.write(_told(sealed))
        return True


def _month(text: str) -> datetime:
    with contextlib.suppress(ValueError):
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    raise ArgumentTypeError(f"“{text}” is not like 2026-01")


def _listed(months: list[datetime]) -> str:
    return ", ".join(f"{month:%Y-%m}" for month in months) or "nothing"


def _told(sealed: SealedMonth) -> str:
    return (
        f"{sealed.month:%Y-%m}: {sealed.rows:,} rows sealed, {money.exact(sealed.cost_nano)},"
        f" digest {sealed.digest[:16]}"
    )
