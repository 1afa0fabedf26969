"""`manage.py focus_export`: what calls cost, as FOCUS 1.0, for those who charge it back."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants.models import Tenant
from apps.usage.focus import charges, files


class Command(BaseCommand):
    help = "Write the charges of some days of UTC as FOCUS 1.0: CSV, or Parquet for a file that is called so."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="ending in .csv or .parquet")
        parser.add_argument("--from", dest="first", required=True, metavar="YYYY-MM-DD", type=_day)
        parser.add_argument("--to", dest="last", required=True, metavar="YYYY-MM-DD", type=_day, help="included")
        parser.add_argument("--tenant", metavar="SLUG", help="of all tenants, if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        slug = options["tenant"]
        tenant = Tenant.objects.filter(slug=slug).first()
        if slug and tenant is None:
            raise CommandError(f"There is no tenant {slug}.")
        try:
            found = charges.charges(options["first"], options["last"], tenant=tenant)
            self._write(file, found)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{file}: {file.stat().st_size:,} bytes")

    def _write(self, file: Path, found: Any) -> None:
        match file.suffix:
            case ".parquet":
                files.write_parquet(found, file)
            case ".csv":
                with file.open("w", encoding="utf-8", newline="") as target:
                    target.writelines(files.as_csv(found))
            case _:
                raise CommandError("The file's name ends in .csv or .parquet.")


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), tzinfo=UTC)
