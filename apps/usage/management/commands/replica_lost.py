"""`manage.py replica_lost NAME`: somebody knows that a gateway process will not come back, and its disk neither.

Ends with 0 if that is written down, with 1 if it was not, with 2 if there is no such process.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.domain import money
from apps.quotas.models import Replica
from apps.usage import reaper

MISTAKE = 2


class Command(BaseCommand):
    help = (
        "Give up a gateway process that is gone with its disk, without waiting for the quarantine: what is known to"
        " have run there becomes unconfirmed, its leases are freed, and what they had left is recorded as a gap."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="As its journal is called; see `manage.py journals`.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, name: str, yes: bool, **options: Any) -> None:
        known = sorted(Replica.objects.values_list("name", flat=True))
        if name not in known:
            raise CommandError(
                f"There is no replica {name}. Known are: {', '.join(known) or 'none'}.", returncode=MISTAKE
            )
        if not yes and input(f"Will {name} and its disk never come back? [y/N] ").strip().lower() != "y":
            raise CommandError("Nothing was done.")
        try:
            lost = reaper.declare_lost(name, actor=None)
        except reaper.Alive:
            raise CommandError(
                f"{name} was heard of less than a minute ago and may live: stop it, and try again in a minute."
            ) from None
        except Replica.DoesNotExist:
            raise CommandError(f"{name} was taken over in the meantime; nothing was done.") from None
        self.stdout.write(f"{lost.unconfirmed} calls are unconfirmed; the gap is {money.exact(lost.gap)}.")
