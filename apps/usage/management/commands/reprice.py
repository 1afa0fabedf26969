"""`manage.py reprice`: carry prices that were entered late or corrected into the ledger, by adding differences.

Ends with 0; with 1 if attempts were left because they had been repriced too often; with 2 on a mistake, or
where the database cut it short. Running it again changes nothing, and it may be ended at any time.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from apps.catalog.models import Deployment
from apps.domain import ids, money
from apps.usage import repricing

LEFT, MISTAKE = 1, 2
_NAMED = 20  # of those that were left
MOST = ids.LAST_SLOT - ids.Slot.REPRICE + 1


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is not like 2026-11-21 or 2026-11-21T10:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Price calls anew whose price is not the one that was in force when they came."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--deployment", metavar="ID", type=int, help="Calls of one deployment,")
        parser.add_argument("--model", metavar="NAME", help="or of a model,")
        parser.add_argument("--provider", metavar="NAME", help="or of a provider; of all of them where none is named.")
        parser.add_argument(
            "--since", metavar="TIME", type=_moment, required=True, help="That came from then on (UTC)."
        )
        parser.add_argument("--until", metavar="TIME", type=_moment, help="And before then.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would change.")
        parser.add_argument("--json", action="store_true", help="For programs: one object; money in nano-USD.")

    def handle(self, *args: Any, **options: Any) -> None:
        deployments = _deployments(options)
        try:
            report = repricing.reprice(
                deployments, since=options["since"], until=options["until"], dry_run=options["dry_run"]
            )
        except DatabaseError as error:
            raise CommandError(f"Cut short, run it again: {error}", returncode=MISTAKE) from None
        if options["json"]:
            self.stdout.write(json.dumps(_told(report, dry_run=options["dry_run"]), indent=2))
        else:
            self._write(report, dry_run=options["dry_run"])
        if report.too_often:
            named = ", ".join(str(entry) for entry in report.too_often[:_NAMED])
            raise CommandError(
                f"{len(report.too_often):,} attempts were left: they have been repriced {MOST} times, which is all"
                f" there is room for. {named}",
                returncode=LEFT,
            )

    def _write(self, report: repricing.Report, *, dry_run: bool) -> None:
        verb = "would be repriced" if dry_run else "repriced"
        for model, change in sorted(report.models.items()):
            moved = f"{money.exact(change.before)} -> {money.exact(change.after)}"
            difference = money.exact(change.after - change.before)
            late = f", {change.unpriced:,} of them had no price" if change.unpriced else ""
            self.stdout.write(f"{model}: {change.attempts:,} {verb}{late}; {moved} ({difference})")
        total = sum(change.attempts for change in report.models.values())
        self.stdout.write(f"{total:,} of {report.attempts:,} attempts {verb}.")
        if report.unconfirmed:
            self.stdout.write(f"{report.unconfirmed:,} are unconfirmed and have to be resolved first.")
        if report.without_price:
            self.stdout.write(f"{report.without_price:,} came when no price was in force.")


def _deployments(options: dict[str, Any]) -> list[int]:
    """Raises CommandError where what was named is not there."""
    named = {"pk": options["deployment"], "model__name": options["model"], "provider__name": options["provider"]}
    wanted = {field: value for field, value in named.items() if value is not None}
    found = list(Deployment.objects.filter(**wanted).values_list("pk", flat=True))
    if wanted and not found:
        raise CommandError("There is no such deployment.", returncode=MISTAKE)
    return found


def _told(report: repricing.Report, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "attempts": report.attempts,
        "repriced": sum(change.attempts for change in report.models.values()),
        "models": [
            {
                "model": model,
                "attempts": change.attempts,
                "unpriced": change.unpriced,
                "before_nano": change.before,
                "after_nano": change.after,
                "difference_nano": change.after - change.before,
            }
            for model, change in sorted(report.models.items())
        ],
        "unconfirmed": report.unconfirmed,
        "without_price": report.without_price,
        "too_often": [str(entry) for entry in report.too_often],
    }
