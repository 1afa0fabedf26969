"""`manage.py ledger_unconfirmed`: what nobody knows yet, and what a person knows of it after all.

Ends with 0 if nothing is unconfirmed (or the one named was resolved), with 1 if something is, with 2 on a mistake. A
journal that nobody has taken over is told, and changes nothing of that: what it says is not in the ledger yet.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from apps.domain import money
from apps.domain.tokens import TokenUsage
from apps.quotas.models import MOST_NANO
from apps.tenants.models import Tenant
from apps.usage import journals, lines, selectors, services
from apps.usage.models import Entry

OPEN, MISTAKE = 1, 2


class Command(BaseCommand):
    help = "List attempts whose cost nobody knows, with what they may have cost; or say what one of them did cost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="For programs: one object; money in nano-USD.")
        parser.add_argument("--tenant", metavar="SLUG", help="Those of one tenant.")
        parser.add_argument(
            "--limit", type=int, default=100, help="How many are listed, oldest first. Totals are of all."
        )
        parser.add_argument("--resolve", metavar="REQUEST_ID[/ATTEMPT]", help="The one whose cost is known now.")
        known = parser.add_mutually_exclusive_group()
        known.add_argument("--cost", type=int, metavar="NANO_USD", help="It cost exactly that.")
        known.add_argument("--usd", metavar="DECIMAL", help="It cost exactly that, in dollars: 0.00125.")
        known.add_argument(
            "--tokens", metavar="NAME=N,…", help="It used that, at its frozen price: in_fresh=10,out_total=5."
        )
        for said in services.SAID:
            known.add_argument(f"--{said}", dest="said", action="store_const", const=said, help=_SAID[said])
        parser.add_argument("--note", default="", help="How it is known. Stays in the audit and on the entry.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["resolve"]:
                self._resolve(options)
            elif self._list(options):
                sys.exit(OPEN)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=MISTAKE) from None

    def _resolve(self, options: dict[str, Any]) -> None:
        cost = options["said"] if options["cost"] is None else options["cost"]
        if options["usd"] is not None:
            cost = _nano(options["usd"])
        usage = _usage(options["tokens"]) if options["tokens"] else None
        if cost is None and usage is None:
            raise CommandError(
                "Say what it cost: --usd, --cost, --tokens, --nothing, --estimate or --all.", returncode=MISTAKE
            )
        entry = _named(options["resolve"])
        correction = services.resolve(entry, actor=None, note=options["note"], cost=cost, usage=usage)
        total = entry.cost_nano + correction.cost_nano
        if options["json"]:
            self.stdout.write(json.dumps({**_told(entry), "cost_nano": total, "correction": str(correction.pk)}))
        else:
            self.stdout.write(f"{_name(entry)} cost {money.exact(total)}.")

    def _list(self, options: dict[str, Any]) -> int:
        """Returns how many there are."""
        subject = _subject(options["tenant"])
        doubts = selectors.doubts(**subject)
        names = dict(Tenant.objects.values_list("pk", "slug"))
        entries = list(selectors.unconfirmed(**subject)[: max(0, options["limit"])])
        left = self._left_behind()
        if options["json"]:
            self._write_json(doubts, entries, names, left)
        else:
            self._write_text(doubts, entries, names)
            self.stdout.write(_in_all(doubts, is_whole=left == []))
            if left:
                self.stdout.write(_not_counted(left))
        return sum(doubt.count for doubt in doubts)

    def _left_behind(self) -> list[journals.Listed] | None:
        """Journals on this host that nobody has taken over, unreadable ones among them. None: cannot be told."""
        try:
            found = journals.listed(Path(settings.WEIR_JOURNAL_DIR))
        except OSError as error:
            self.stderr.write(f"Whether a journal was left behind cannot be told: {error}")
            return None
        return [one for one in found if one.state in ("orphaned", "unreadable")]

    def _write_json(
        self,
        doubts: Sequence[selectors.Doubt],
        entries: Sequence[Entry],
        names: dict[int, str],
        left: list[journals.Listed] | None,
    ) -> None:
        tenants = [{"tenant": names.get(doubt.tenant_id, str(doubt.tenant_id)), **_sums([doubt])} for doubt in doubts]
        listed = [{**_told(entry), "tenant": names.get(entry.tenant_id)} for entry in entries]
        told = {**_sums(doubts), "tenants": tenants, "entries": listed, "journals": msgspec.to_builtins(left)}
        self.stdout.write(json.dumps(told, indent=2))

    def _write_text(self, doubts: Sequence[selectors.Doubt], entries: Sequence[Entry], names: dict[int, str]) -> None:
        now = datetime.now(UTC)
        for entry in entries:
            between = f"{money.exact(entry.low_nano)} to {money.exact(entry.high_nano)}"
            age = lines.age((now - entry.started_at).total_seconds())
            told = f"about {money.exact(entry.cost_nano)}, {entry.status}, {entry.model_name}"
            self.stdout.write(
                f"{_name(entry)}  {age:>6}  {names.get(entry.tenant_id, entry.tenant_id)}  {between}, {told}"
            )
        for doubt in doubts:
            self.stdout.write(f"{names.get(doubt.tenant_id, doubt.tenant_id)}: {_summed([doubt])}")


_SAID = {
    "nothing": "It cost nothing: the model never ran.",
    "estimate": "It cost what was estimated.",
    "all": "It cost the most that was reserved.",
}


def _named(text: str) -> Entry:
    """Raises CommandError."""
    name, _, number = text.partition("/")
    try:
        request, attempt = UUID(name.removeprefix("req_")), int(number) if number else None
    except ValueError:
        raise CommandError(f"“{text}” is not like req_0199…/1.", returncode=MISTAKE) from None
    entries = [entry for entry in selectors.unconfirmed_of(request) if attempt in (None, entry.attempt)]
    if not entries:
        raise CommandError("This request has no such unconfirmed attempt.", returncode=MISTAKE)
    if len(entries) > 1:
        names = ", ".join(_name(entry) for entry in entries)
        raise CommandError(f"Which of them? {names}", returncode=MISTAKE)
    return entries[0]


def _nano(text: str) -> int:
    """Raises CommandError."""
    try:
        amount = Decimal(text)
        if not amount.is_finite() or amount.copy_abs() > money.dollars(MOST_NANO):
            raise ValueError("it is more than can be counted")
        return money.nano(amount)
    except InvalidOperation:
        raise CommandError(f"“{text}” is not an amount in dollars like 0.00125.", returncode=MISTAKE) from None
    except ValueError as error:
        raise CommandError(f"“{text}” is no cost: {error}.", returncode=MISTAKE) from None


def _usage(text: str) -> TokenUsage:
    """Raises CommandError."""
    counters = dict(part.partition("=")[::2] for part in text.split(","))
    if set(counters) - set(services.COUNTERS) or not all(number.isdecimal() for number in counters.values()):
        raise CommandError(f"Tokens are name=number,… of {', '.join(services.COUNTERS)}.", returncode=MISTAKE)
    return TokenUsage(**{name: int(number) for name, number in counters.items()})


def _subject(slug: str | None) -> dict[str, int]:
    if slug is None:
        return {}
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant “{slug}”.", returncode=MISTAKE)
    return {"tenant_id": tenant.pk}


def _name(entry: Entry) -> str:
    return f"req_{entry.request_id.hex}/{entry.attempt}"


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "request": f"req_{entry.request_id.hex}",
        "attempt": entry.attempt,
        "started_at": entry.started_at.isoformat(),
        "model": entry.model_name,
        "status": entry.status,
        "provider_request_id": entry.provider_request_id,
        "low_nano": entry.low_nano,
        "estimate_nano": entry.cost_nano,
        "high_nano": entry.high_nano,
    }


def _sums(doubts: Sequence[selectors.Doubt]) -> dict[str, int]:
    return {
        "count": sum(doubt.count for doubt in doubts),
        "low_nano": sum(doubt.low for doubt in doubts),
        "estimate_nano": sum(doubt.estimate for doubt in doubts),
        "high_nano": sum(doubt.high for doubt in doubts),
    }


def _summed(doubts: Sequence[selectors.Doubt]) -> str:
    sums = _sums(doubts)
    low, estimate, high = (money.exact(sums[name]) for name in ("low_nano", "estimate_nano", "high_nano"))
    return f"{sums['count']:,} unconfirmed, between {low} and {high}, about {estimate}"


def _in_all(doubts: Sequence[selectors.Doubt], *, is_whole: bool) -> str:
    if doubts:
        return f"In all: {_summed(doubts)}"
    return "Every cost is known." if is_whole else "Every cost in the ledger is known."


def _not_counted(left: Sequence[journals.Listed]) -> str:
    """With the next step."""
    names = ", ".join(one.name for one in left)
    journal = "1 journal" if len(left) == 1 else f"{len(left)} journals"
    told = f"Not counted: {journal} in {settings.WEIR_JOURNAL_DIR} that nobody has taken over ({names})."
    steps = []
    if any(one.state == "orphaned" for one in left):
        steps.append("Start a gateway on that folder: it takes over within ten seconds")
    if any(one.state == "unreadable" for one in left):
        steps.append("`manage.py journals --retry NAME` once what cannot be read is mended")
    return f"{told} {'; '.join(steps)}."
