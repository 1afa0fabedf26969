"""`manage.py explain`: what would become of a call, and why. Ends with 0 if somebody would serve it, else with 1."""

from __future__ import annotations

import ipaddress
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError

from apps.domain import explanation
from apps.gateway import configuration, vantage
from apps.gateway.explain import ENDPOINTS, NOBODY, Asked, explain
from apps.gateway.networks import ANYWHERE, Client

NOT_SERVED, SENSELESS = 1, 2


class Command(BaseCommand):
    help = "Say where a call would go, what it would cost and what restrains it; no provider is asked, nothing booked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", help="Instead of the one that the file names.")
        parser.add_argument("--key", metavar="PREFIX", help="A key by its beginning (weir_…) or name; else nobody's.")
        parser.add_argument("--file", metavar="PATH", help="The request as JSON; - reads it from the standard input.")
        parser.add_argument("--address", metavar="IP", help="Where the call would come from, for allowed networks.")
        parser.add_argument("--endpoint", choices=ENDPOINTS, default="messages")
        parser.add_argument("--json", action="store_true", help="For programs: one object.")

    def handle(self, *args: Any, **options: Any) -> None:
        body = _request(options["file"], model=options["model"], endpoint=options["endpoint"])
        principal = NOBODY if options["key"] is None else _principal(options["key"])
        asked = Asked(options["endpoint"], body, principal, client=_client(options["address"]))
        told = async_to_sync(explain)(asked, vantage.outside(shows_all=True))
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode())
        else:
            self.stdout.write(explanation.text(told), ending="")
        if not told.serves:
            sys.exit(NOT_SERVED)


def _request(path: str | None, *, model: str | None, endpoint: str) -> bytes:
    if path is None:
        if model is None:
            raise CommandError("Name a --model, or a --file with a request.", returncode=SENSELESS)
        return json.dumps(explanation.example(endpoint, model=model)).encode()
    try:
        body = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=SENSELESS) from None
    if model is None:
        return body
    try:
        return json.dumps({**json.loads(body), "model": model}).encode()
    except (ValueError, TypeError):
        raise CommandError(f"{path}: not a JSON object", returncode=SENSELESS) from None


def _client(address: str | None) -> Client:
    if address is None:
        return ANYWHERE
    try:
        return str(ipaddress.ip_address(address)), 0
    except ValueError:
        raise CommandError(f"“{address[:50]}” is no IP address.", returncode=SENSELESS) from None


def _principal(prefix: str) -> Any:
    found = configuration.keys_beginning(prefix)
    if len(found) != 1:
        why = "means several keys: give more of its beginning" if found else "is no key's beginning or name"
        raise CommandError(f"“{prefix[:18]}” {why}.", returncode=SENSELESS)
    principal = configuration.principal_of(found[0])
    if principal is None:
        raise CommandError("The key's user is shut off, or has left the tenant.", returncode=SENSELESS)
    return principal
