"""`manage.py seed_scale`: fills an empty installation with a million keys and twenty million calls, to be measured."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.usage.scale import build


class Command(BaseCommand):
    help = "Fill an EMPTY installation with tenants, keys and calls from a seed, to measure pages with."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenants", type=int, default=1_000)
        parser.add_argument("--keys", type=int, default=1_000_000)
        parser.add_argument("--entries", type=int, default=20_000_000)
        parser.add_argument("--days", type=int, default=60)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("tenants", "keys", "entries", "days", "seed")
        sizes = {name: options[name] for name in names}
        if any(value < 1 for value in sizes.values()) or sizes["keys"] < sizes["tenants"]:
            raise CommandError("At least one of each, and no fewer keys than tenants.")
        try:
            build.build(**sizes, tell=self.stdout.write)
        except build.NotEmpty:
            raise CommandError("There are tenants already: this fills an empty installation only.") from None
