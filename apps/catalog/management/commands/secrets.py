"""`manage.py secrets rotate-kek` and `manage.py secrets verify`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.catalog import rotation
from apps.catalog.keyring import KeyringRefused


class Command(BaseCommand):
    help = "Reseal the data keys under the keyring's highest version, or check that every secret opens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", choices=["rotate-kek", "verify"])

    def handle(self, *args: Any, task: str, **options: Any) -> None:
        try:
            if task == "rotate-kek":
                self.stdout.write(f"{rotation.rotate_kek()} data keys resealed.")
            self._report(rotation.inspect())
        except KeyringRefused as error:
            raise CommandError(str(error)) from None

    def _report(self, report: rotation.Report) -> None:
        for version in sorted({report.active, *report.data_keys, *report.sealed}):
            active = " (active)" if version == report.active else ""
            keys, sealed = report.data_keys.get(version, 0), report.sealed.get(version, 0)
            self.stdout.write(f"version {version}{active}: {keys} data keys, {sealed} secrets")
        if report.unreadable:
            shown = ", ".join(map(str, report.unreadable[:20]))
            raise CommandError(f"{len(report.unreadable)} credentials do not open: {shown}")
