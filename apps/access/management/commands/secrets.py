"""`manage.py secrets …`: rotations, each of them online and resumable, and where everything stands.

Here, above the catalog, because peppers are counted by the keys and tokens that hang on them.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from apps.access import rotation as tokens
from apps.catalog import keyring, rotation
from apps.catalog.keyrings.ring import KeyringRefused
from apps.catalog.models import Purpose
from apps.keys import rotation as peppers
from apps.tenants.models import Tenant

Peppers = dict[str, Sequence[peppers.PepperReport | tokens.PepperReport]]
_NAMED = 20  # of many broken ones


class Command(BaseCommand):
    help = "Rotate the keys that guard credentials and API keys, or check that every secret opens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True)
        tasks.add_parser("rotate-kek", help="Reseal the data keys under the keyring's newest version.")
        move = tasks.add_parser("move", help="From another keyring to the present one, while nothing is served.")
        move.add_argument(
            "--from", dest="previous", metavar="KEYRING", required=True, help="file:…, vault:…, aws-kms:…"
        )
        dek = tasks.add_parser("rotate-dek", help="Give tenants other data keys and reseal their credentials.")
        whose = dek.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", metavar="SLUG")
        whose.add_argument("--platform", action="store_true", help="Credentials that are no tenant's own.")
        whose.add_argument("--all", action="store_true")
        tasks.add_parser("rotate-pepper", help="Make API keys' digests under another pepper, as they are used.")
        retire = tasks.add_parser("retire-pepper", help="End the old pepper.")
        retire.add_argument("--force", action="store_true", help="Even if that revokes keys not used since.")
        tasks.add_parser("rotate-token-pepper", help="The same for tokens of the management API.")
        retire = tasks.add_parser("retire-token-pepper", help="End the old pepper of tokens.")
        retire.add_argument("--force", action="store_true", help="Even if that revokes tokens not used since.")
        verify = tasks.add_parser("verify", help="Open everything, and count by version.")
        verify.add_argument("--json", action="store_true")

    def handle(self, *args: Any, task: str, **options: Any) -> None:
        try:
            getattr(self, task.replace("-", "_"))(options)
        except KeyringRefused as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None

    # --- tasks -------------------------------------------------------------------------------------------------

    def rotate_kek(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{rotation.rotate_kek()} data keys resealed.")
        self.verify(options)

    def move(self, options: dict[str, Any]) -> None:
        if keyring.kind_of(options["previous"]) == "env":
            raise CommandError("What stands in a command line can be read by others: put the keyring into a file.")
        self.stdout.write(f"{rotation.move(previous=keyring.named(options['previous']))} data keys moved.")
        self.verify(options)

    def rotate_dek(self, options: dict[str, Any]) -> None:
        left: list[int] = []
        count = 0
        for tenant_id in _tenants(options):
            done = rotation.rotate_dek(tenant_id)
            count += done.count
            left += done.left
        self.stdout.write(f"{count} credentials resealed.")
        if left:
            raise CommandError(f"{len(left)} credentials do not open and keep their old key: {_listed(left)}")

    def rotate_pepper(self, options: dict[str, Any]) -> None:
        row = peppers.rotate_pepper()
        self.stdout.write(f"New keys hang on pepper {row.version}; others move to it when they are used.")

    def retire_pepper(self, options: dict[str, Any]) -> None:
        ended = peppers.retire_pepper(force=options["force"])
        self.stdout.write(f"One pepper is left. Keys revoked: {ended}.")

    def rotate_token_pepper(self, options: dict[str, Any]) -> None:
        row = tokens.rotate_pepper()
        self.stdout.write(f"New tokens hang on pepper {row.version}; others move to it when they are used.")

    def retire_token_pepper(self, options: dict[str, Any]) -> None:
        ended = tokens.retire_pepper(force=options["force"])
        self.stdout.write(f"One pepper of tokens is left. Tokens revoked: {ended}.")

    def verify(self, options: dict[str, Any]) -> None:
        report = rotation.inspect()
        counted: Peppers = {"pepper": peppers.counts(), "token pepper": tokens.counts()}
        if options.get("json"):
            self.stdout.write(json.dumps(_told(report, counted), indent=2))
        else:
            for line in _lines(report, counted):
                self.stdout.write(line)
        if problems := _problems(report):
            raise CommandError(" ".join(problems))


def _tenants(options: dict[str, Any]) -> list[int | None]:
    if options["all"]:
        return rotation.tenants_with_keys()
    if options["platform"]:
        return [None]
    tenant = Tenant.objects.filter(slug=options["tenant"]).first()
    if tenant is None:
        raise CommandError(f"There is no tenant “{options['tenant']}”.")
    return [tenant.pk]


def _problems(report: rotation.Report) -> list[str]:
    found = []
    if report.unreadable:
        found.append(f"{len(report.unreadable)} credentials do not open: {_listed(report.unreadable)}.")
    if closed := [str(key.row) for key in report.keys if not key.opens]:
        found.append(f"{len(closed)} data keys do not open: {', '.join(closed[:_NAMED])}.")
    return found


def _listed(pks: Any) -> str:
    return ", ".join(map(str, list(pks)[:_NAMED]))


def _lines(report: rotation.Report, counted: Peppers) -> Iterator[str]:
    for version, (keys, secrets) in report.by_version().items():
        active = " (active)" if version == report.active else ""
        yield f"keyring version {version}{active}: {keys} data keys, {secrets} secrets"
    for key in report.keys:
        if key.row.purpose == Purpose.CREDENTIALS:
            newest = " (newest)" if key.is_newest else ""
            yield f"{key.row}{newest}: {key.secrets} secrets, under keyring version {key.row.kek_version}"
    for name, reports in counted.items():
        for pepper in reports:
            newest = " (newest)" if pepper.is_newest else ""
            told = "tokens" if name == "token pepper" else "keys"
            yield f"{name} {pepper.version}{newest}: {pepper.working} working {told}, {pepper.ended} ended"
    yield f"keyring versions below {report.min_decryption_version} are not needed"


def _counted(reports: Sequence[peppers.PepperReport | tokens.PepperReport]) -> list[dict[str, Any]]:
    return [
        {"version": each.version, "newest": each.is_newest, "working": each.working, "ended": each.ended}
        for each in reports
    ]


def _told(report: rotation.Report, counted: Peppers) -> dict[str, Any]:
    return {
        "ok": not _problems(report),
        "keyring": {
            "active": report.active,
            "min_decryption_version": report.min_decryption_version,
            "versions": [
                {"version": version, "data_keys": keys, "secrets": secrets}
                for version, (keys, secrets) in report.by_version().items()
            ],
        },
        "data_keys": [
            {
                "id": str(key.row.pk),
                "tenant": key.row.tenant.slug if key.row.tenant is not None else None,
                "purpose": key.row.purpose,
                "version": key.row.version,
                "newest": key.is_newest,
                "keyring_version": key.row.kek_version,
                "opens": key.opens,
                "secrets": key.secrets,
            }
            for key in report.keys
        ],
        "peppers": _counted(counted["pepper"]),
        "token_peppers": _counted(counted["token pepper"]),
        "unreadable": list(report.unreadable),
    }
