"""`manage.py backup FOLDER`: copies this host's journals and the database while calls go on (`docs/backup.md`)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.usage import backup


class Command(BaseCommand):
    help = "Copy the journals of this host and the database into a new folder, while calls go on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="It must not be there yet.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for path in backup.made(options["folder"]):
                self.stdout.write(f"{path}  {path.stat().st_size} bytes")
        except backup.Failed as failed:
            raise CommandError(str(failed)) from None
        self.stdout.write("The keyring is not in it: back it up elsewhere, or nothing of this opens.")
