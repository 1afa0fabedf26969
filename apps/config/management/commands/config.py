"""`manage.py config export` and `manage.py config import`: a set-up that lives in Git.

Ends with 0 if it is done, with 1 if something was refused (nothing has changed then), with 2 on a mistake.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import User
from apps.config import services
from apps.config.document import Refused
from apps.config.kinds import Change

MISTAKE = 2
MOST_NAMED = 10


class Command(BaseCommand):
    help = "Write the configuration as YAML, or make it what a file says."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        written = what.add_parser("export", help="Write the configuration, without any secret.")
        written.add_argument("--output", metavar="FILE", type=Path, help="Instead of the standard output.")
        read = what.add_parser("import", help="Make what a file names as it says. Twice is once.")
        read.add_argument("file", metavar="FILE", help="YAML; “-”: the standard input.")
        read.add_argument("--dry-run", action="store_true", help="Only tell what would change.")
        read.add_argument("--prune", action="store_true", help="Remove or disable what the file's lists lack.")
        read.add_argument("--as", dest="actor", metavar="USERNAME", help="Who does it, for the audit log.")

    def handle(self, *args: Any, **options: Any) -> None:
        (self._export if options["what"] == "export" else self._import)(options)

    def _export(self, options: dict[str, Any]) -> None:
        text = services.export()
        if options["output"] is None:
            self.stdout.write(text, ending="")
        else:
            try:
                options["output"].write_text(text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{options['output']} cannot be written: {error.strerror}") from None
        for noun, count in services.left_out().items():
            self.stderr.write(f"Not written: {count:,} {noun}.")

    def _import(self, options: dict[str, Any]) -> None:
        actor = _person(options["actor"])
        text = _read(options["file"])
        given = {"prune": options["prune"], "dry_run": options["dry_run"], "environment": os.environ}
        try:
            outcome = services.bring_in(text, actor=actor, **given)
        except Refused as refusal:
            raise CommandError("\n".join(["Refused, and nothing has changed:", *refusal.messages])) from None
        for change in outcome.changes:
            self._tell(change)
        for noun, names in sorted(outcome.left.items()):
            more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
            self.stdout.write(f"  left alone: {noun}: {', '.join(names[:MOST_NAMED])}{more}")
        for name in outcome.lacking:
            self.stdout.write(f"  not here, so set it: {name}")
        done = "would change" if options["dry_run"] else "changed"
        self.stdout.write(f"{len(outcome.changes):,} {done}, {sum(outcome.unchanged.values()):,} as they were.")

    def _tell(self, change: Change) -> None:
        note = f" ({change.note})" if change.note else ""
        self.stdout.write(f"{change.mark} {change.noun} {change.label}{note}")
        if change.mark == "~":
            for one in change.differences:
                self.stdout.write(f"    {one.field}: {one.old} -> {one.new}")


def _person(name: str | None) -> User | None:
    if name is None:
        return None
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise CommandError(f"There is nobody called {name}.", returncode=MISTAKE)
    return found


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}", returncode=MISTAKE) from None
