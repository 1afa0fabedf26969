"""`manage.py journals`: which gateway processes have journals on this volume, and what the ledger lacks of them."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.usage import journals, lines

_HEADS = ("JOURNAL", "STATE", "BYTES", "OPEN", "UNFORWARDED", "REFUSED")


class Command(BaseCommand):
    help = "List the journals in WEIR_JOURNAL_DIR: live, orphaned, refused by the ledger or unreadable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--retry", metavar="NAME", help="Recover one that was set aside once more.")
        parser.add_argument("--json", action="store_true", help="For programs: a list of objects.")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.WEIR_JOURNAL_DIR)
        if options["retry"]:
            self._retry(folder, options["retry"])
            return
        found = journals.listed(folder)
        if options["json"]:
            self.stdout.write(msgspec.json.encode(found).decode())
            return
        rows = [_HEADS, *(tuple(_text(value) for value in msgspec.structs.astuple(one)) for one in found)]
        for line in lines.columns(rows, words=2):
            self.stdout.write(line)

    def _retry(self, folder: Path, name: str) -> None:
        try:
            journals.retry(folder, name)
        except FileNotFoundError:
            raise CommandError(f"No journal {name} was set aside in {folder}.") from None
        self.stdout.write("A gateway on this folder takes it over within ten seconds.")


def _text(value: object) -> str:
    return "?" if value is None else str(value)
