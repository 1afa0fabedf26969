"""`manage.py doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.core.management.base import BaseCommand

from apps.status import doctor

WORST = {"ok": 0, "warning": 1, "problem": 2}
_MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


class Command(BaseCommand):
    help = "Look at settings, keys, stores, providers and processes. Ends with 0: well, 1: warnings, 2: problems."
    requires_system_checks = ()  # they are among what is told
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="For programs: one object, the findings in it.")
        parser.add_argument("--seconds", type=float, default=doctor.SECONDS, help="How long it may take (20).")
        parser.add_argument("--quiet", action="store_true", help="What is well is not told.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = doctor.examine(seconds=options["seconds"])
        worst = max((finding.level for finding in found), key=WORST.__getitem__, default="ok")
        if options["json"]:
            self.stdout.write(msgspec.json.encode({"status": worst, "findings": found}).decode())
        else:
            self._tell([finding for finding in found if finding.level != "ok" or not options["quiet"]])
            counts = {level: sum(finding.level == level for finding in found) for level in WORST}
            bad = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in ("problem", "warning")]
            self.stdout.write(f"{', '.join(bad)}; {counts['ok']} well.")
        sys.exit(WORST[worst])

    def _tell(self, found: list[doctor.Finding]) -> None:
        for finding in found:
            self.stdout.write(f"{_MARKS[finding.level]}  {finding.about}: {finding.told}")
            if finding.cure:
                self.stdout.write(f"         → {finding.cure}")
