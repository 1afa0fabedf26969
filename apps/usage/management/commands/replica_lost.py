"""`manage.py replica_lost NAME`: somebody knows that a gateway process will not come back, and its disk neither.

Ends with 0 if that is written down or with `--list`, with 1 if it was not, with 2 if there is no such process, or none
is named.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.domain import money
from apps.quotas.models import Replica
from apps.usage import lines, processes, reaper

MISTAKE = 2

_HEADS = ("REPLICA", "STATE", "LAST HEARD", "EPOCH", "OPEN LEASES")


class Command(BaseCommand):
    help = (
        "Give up a gateway process that is gone with its disk, without waiting for the quarantine: what is known to"
        " have run there becomes unconfirmed, its leases are freed, and what they had left is recorded as a gap."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", nargs="?", help="As --list and `manage.py journals` call it.")
        parser.add_argument("--list", action="store_true", help="Only tell which there are, and how they are.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, name: str | None, yes: bool, **options: Any) -> None:
        if (name is None) != options["list"]:
            raise CommandError("Say which one is lost, or --list to see which there are.", returncode=MISTAKE)
        if name is None:
            self._list()
        else:
            self._give_up(name, is_sure=yes)

    def _list(self) -> None:
        for line in lines.columns([_HEADS, *map(_row, processes.listed())], words=2):
            self.stdout.write(line)

    def _give_up(self, name: str, *, is_sure: bool) -> None:
        known = processes.losable()
        if name not in known:
            raise CommandError(
                f"There is no replica {name}. Known are: {', '.join(known) or 'none'}.", returncode=MISTAKE
            )
        if not is_sure and input(f"Will {name} and its disk never come back? [y/N] ").strip().lower() != "y":
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


def _row(one: processes.Listed) -> tuple[str, ...]:
    heard = "?" if one.silence is None else f"{lines.age(one.silence.total_seconds())} ago"
    return one.name, one.state, heard, "?" if one.epoch is None else str(one.epoch), money.exact(one.held)
