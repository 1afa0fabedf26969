"""`manage.py openapi`: writes the description of the API, `apps/api/openapi.yaml`. With --check it only says whether
the file is what the code says. Ends with 1 if it is not, or if something cannot be described."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.api.pages import FILE


class Command(BaseCommand):
    help = "Describe the management API in a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        from apps.api.openapi import described  # takes a second to load

        text, warnings = described()
        for warning in warnings:
            self.stderr.write(warning)
        if options["check"] and FILE.read_text(encoding="utf-8") != text:
            self.stderr.write(f"{FILE.name} is not what the code says. Run: make openapi")
            sys.exit(1)
        if not options["check"]:
            FILE.write_text(text, encoding="utf-8")
        if warnings:
            sys.exit(1)
