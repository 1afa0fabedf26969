"""Reports brought in or asked for, names explained, differences posted and taken back: operators alone, each time
recorded. What takes long is begun here and done by `working`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable
from datetime import date
from typing import Any

from celery import current_app
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import vault
from apps.catalog.models import Credential, Provider, Purpose
from apps.reconciliation import fetching
from apps.reconciliation.comparing import begin_of
from apps.reconciliation.models import (
    AdjustedDay,
    Adjustment,
    Difference,
    ProviderName,
    Report,
    ReportLine,
    ReportSource,
    Status,
)
from apps.reconciliation.shapes import registry
from apps.reconciliation.shapes.lines import COUNTERS, MOST_DAYS, Read, Unreadable
from apps.tenants.models import Project
from apps.usage import adjustments

log = logging.getLogger(__name__)

MOST_BYTES = 32 * 1024 * 1024
MOST_FETCHED_DAYS = 93
MOST_SECRET = 500
TASK = "apps.reconciliation.tasks.work"
USUAL = (Status.MORE_HERE.value, Status.MORE_THERE.value)
POSTABLE = (*USUAL, Status.CLOSE.value, Status.NOT_HERE.value, Status.NOT_THERE.value)
_SHOWN_FROM_LENGTH = 12  # of a shorter secret four characters would give too much away
_TOGETHER = 2_000


# --- where reports are fetched -----------------------------------------------------------------------------------


def create_source(*, actor: Any, provider: Provider, vendor: str, address: str, secret: str) -> ReportSource:
    source = ReportSource(provider=provider, vendor=vendor, address=address.rstrip("/"))
    with transaction.atomic():
        audit.add(source, actor=actor, action="reportsource.created", area=Area.USAGE)
        _seal(source, secret)
    return source


def update_source(source: ReportSource, *, actor: Any, secret: str = "", **changes: Any) -> ReportSource:
    """`vendor`, `address`. To another address the key is not sent: it must be given anew."""
    if "address" in changes:
        changes["address"] = changes["address"].rstrip("/")
    with transaction.atomic():
        before = ReportSource.objects.select_for_update().get(pk=source.pk).address
        audit.amend(
            source,
            actor=actor,
            action="reportsource.updated",
            area=Area.USAGE,
            changes=changes,
            allowed=frozenset({"vendor", "address"}),
        )
        if source.address != before and not secret:
            raise ValidationError({"secret": "The key was meant for another address: give it again."})
        if secret:
            _seal(source, secret)
            audit.record(actor=actor, action="reportsource.rotated", target=source, area=Area.USAGE)
    return source


def remove_source(source: ReportSource, *, actor: Any) -> None:
    audit.remove(source, actor=actor, action="reportsource.removed", area=Area.USAGE)


def _seal(source: ReportSource, secret: str) -> None:
    if not 0 < len(secret) <= MOST_SECRET or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValidationError({"secret": f"A key has 1 to {MOST_SECRET} printable ASCII characters without spaces."})
    source.ciphertext = vault.seal(secret, place=source.place, purpose=Purpose.REPORTS).text
    source.last_four = secret[-4:] if len(secret) >= _SHOWN_FROM_LENGTH else ""
    source.save(update_fields=["ciphertext", "last_four"])


# --- what providers call things ----------------------------------------------------------------------------------


def create_name(
    *, actor: Any, provider: Provider, name: str, upstream_model: str = "", credential: Credential | None = None
) -> ProviderName:
    row = ProviderName(provider=provider, name=name, upstream_model=upstream_model, credential=credential)
    audit.add(row, actor=actor, action="providername.created", area=Area.USAGE)
    return row


def update_name(row: ProviderName, *, actor: Any, **changes: Any) -> ProviderName:
    """`name`, `upstream_model`, `credential`."""
    allowed = frozenset({"name", "upstream_model", "credential"})
    audit.amend(
        row, actor=actor, action="providername.updated", area=Area.USAGE, changes=changes, allowed=allowed
    )  # fmt: skip
    return row


def remove_name(row: ProviderName, *, actor: Any) -> None:
    audit.remove(row, actor=actor, action="providername.removed", area=Area.USAGE)


# --- reports -----------------------------------------------------------------------------------------------------


def upload(
    *, actor: Any, provider: Provider, shape: str, body: bytes, file_name: str = "", field: str = "file"
) -> Report:
    """Raises ValidationError at `field` for what cannot be read, or is here already; then nothing is kept."""
    if len(body) > MOST_BYTES:
        raise ValidationError({field: f"It is longer than {MOST_BYTES:,} bytes."})
    try:
        read = registry.read(shape, body)
    except Unreadable as error:
        raise ValidationError({field: str(error)}) from None
    shown = "".join(character for character in file_name if character.isprintable())[:200]
    report = Report(provider=provider, shape=shape, is_fetched=False, file_name=shown, created_by=actor)
    report.state, report.first_day, report.last_day = Report.State.COMPARING, read.first, read.last
    with transaction.atomic():
        audit.serialise(Area.USAGE)
        _refuse_again(report, read, field=field)
        _refuse_overlap(report, field=field)
        _describe(report, read)
        audit.add(report, actor=actor, action="report.uploaded", area=Area.USAGE)
        keep_lines(report, read)
    _begin()
    return report


def fetch(*, actor: Any, source: ReportSource, shape: str, first: date, last: date) -> Report:
    """Begins to. Raises ValidationError."""
    if shape not in fetching.SHAPES[source.vendor]:
        raise ValidationError({"shape": "The provider has no such report to be fetched."})
    if last < first:
        raise ValidationError({"last_day": "It is before the first day."})
    if last >= timezone.now().date():
        raise ValidationError({"last_day": "Only days that are over (UTC) can be compared."})
    if (last - first).days >= MOST_FETCHED_DAYS:
        raise ValidationError({"last_day": f"{MOST_FETCHED_DAYS} days are the most."})
    if first < date(2020, 1, 1):
        raise ValidationError({"first_day": "There was nothing to report yet."})
    report = Report(provider=source.provider, shape=shape, is_fetched=True, first_day=first, last_day=last)
    report.state, report.created_by = Report.State.FETCHING, actor
    with transaction.atomic():
        audit.serialise(Area.USAGE)
        _refuse_overlap(report, field="first_day")
        audit.add(report, actor=actor, action="report.asked", area=Area.USAGE)
    _begin()
    return report


def compare_again(report: Report, *, actor: Any) -> None:
    """After names, prices or costs have changed."""
    with transaction.atomic():
        stored = _locked(report)
        if stored.state != Report.State.READY:
            raise ValidationError("It is not compared yet.")
        if stored.adjustments.filter(state__in=(Adjustment.State.WAITING, Adjustment.State.UNDOING)).exists():
            raise ValidationError("An adjustment of it is under way: wait for it.")
        Report.objects.filter(pk=report.pk).update(
            state=Report.State.COMPARING, days_compared=0, claimed_at=None
        )  # fmt: skip
        audit.record(actor=actor, action="report.compared", target=report, area=Area.USAGE)
    _begin()


def withdraw(report: Report, *, actor: Any) -> None:
    """It counts no longer, so that another one of these days can be brought in. What was posted of it stays."""
    with transaction.atomic():
        stored = _locked(report)
        if stored.adjustments.filter(state__in=(Adjustment.State.WAITING, Adjustment.State.UNDOING)).exists():
            raise ValidationError("An adjustment of it is under way: wait for it.")
        stored.differences.all().delete()
        stored.lines.all().delete()
        Report.objects.filter(pk=report.pk).update(is_withdrawn=True, state=Report.State.READY, claimed_at=None)
        audit.record(actor=actor, action="report.withdrawn", target=report, area=Area.USAGE)


def keep_lines(report: Report, read: Read) -> None:
    ReportLine.objects.bulk_create(
        (
            ReportLine(
                report=report,
                day=line.day,
                model=line.model,
                account=line.account,
                requests=line.requests,
                cost_nano=line.cost,
                **(dict(zip(COUNTERS, line.tokens, strict=True)) if line.tokens is not None else {}),
            )
            for line in read.lines
        ),
        batch_size=_TOGETHER,
    )


def keep_fetched(report: Report, read: Read) -> None:
    """What the provider has answered. Raises ValidationError for what is here already."""
    with transaction.atomic():
        stored = _locked(report)
        if stored.state != Report.State.FETCHING:
            return
        _refuse_again(stored, read, field="file")
        _describe(stored, read)
        stored.state, stored.claimed_at = Report.State.COMPARING, None
        stored.save()
        keep_lines(stored, read)


def checksum(read: Read) -> str:
    """Of what it says, however it was written."""
    whole = hashlib.sha256(f"{read.first} {read.last}".encode())
    for line in read.lines:
        whole.update(repr((str(line.day), line.model, line.account, line.tokens, line.requests, line.cost)).encode())
    return whole.hexdigest()


def _describe(report: Report, read: Read) -> None:
    report.checksum = checksum(read)
    report.has_tokens, report.has_cost = read.has_tokens, read.has_cost
    report.by_model = any(line.model for line in read.lines)
    report.by_account = any(line.account for line in read.lines)
    report.left_out = [{"what": left.what, "lines": left.lines, "cost_nano": left.cost} for left in read.left_out]


def _locked(report: Report) -> Report:
    stored = Report.objects.select_for_update().get(pk=report.pk)
    if stored.is_withdrawn:
        raise ValidationError("It was withdrawn.")
    return stored


def _refuse_again(report: Report, read: Read, *, field: str) -> None:
    same = Report.objects.filter(provider=report.provider, shape=report.shape, checksum=checksum(read))
    if (before := same.filter(is_withdrawn=False).first()) is not None:
        when = f"{before.created_at:%Y-%m-%d %H:%M} UTC"
        raise ValidationError({field: f"The same report was brought in before, at {when}: it is number {before.pk}."})


def _refuse_overlap(report: Report, *, field: str) -> None:
    others = Report.objects.filter(provider=report.provider, shape=report.shape, is_withdrawn=False)
    others = others.exclude(state=Report.State.FAILED).exclude(pk=report.pk)
    if (other := others.filter(first_day__lte=report.last_day, last_day__gte=report.first_day).first()) is not None:
        span = f"{other.first_day} to {other.last_day}"
        raise ValidationError(
            {field: f"Report number {other.pk} has days of these already ({span}): withdraw it first."}
        )
    if (report.last_day - report.first_day).days >= MOST_DAYS:
        raise ValidationError({field: f"{MOST_DAYS} days are the most."})


# --- adjustments -------------------------------------------------------------------------------------------------


def postable(report: Report, statuses: Collection[str] = POSTABLE) -> Any:
    """Differences that would change the ledger."""
    wanted = [status for status in statuses if status in POSTABLE]
    return report.differences.filter(status__in=wanted, difference_nano__isnull=False).exclude(difference_nano=0)


def sums(differences: Any) -> dict[str, tuple[int, int]]:
    """By status: how many, and their money in nano-USD."""
    found = differences.order_by().values("status").annotate(count=Count("pk"), total=Sum("difference_nano"))
    return {row["status"]: (row["count"], row["total"] or 0) for row in found}


def tokens(differences: Any) -> dict[str, int]:
    """By status: what the provider tells beyond Weir's, of a report that tells tokens."""
    found = differences.order_by().values("status")
    found = found.annotate(there=Sum("reported_tokens"), here=Sum("counted_tokens"))
    return {row["status"]: (row["there"] or 0) - (row["here"] or 0) for row in found}


def post(
    report: Report, *, actor: Any, version: int, statuses: Iterable[str], project: Project | None = None, note: str = ""
) -> Adjustment:
    """Begins to post the differences of these statuses, as `version` of the comparison has them; once a comparison.
    Those unknown to Weir go to `project`. Raises ValidationError."""
    chosen = sorted({*statuses})
    with transaction.atomic():
        stored = _locked(report)
        if stored.state != Report.State.READY or stored.version != version:
            raise ValidationError("It was compared again since this was shown: look at it again.")
        if stored.adjustments.filter(version=version).exists():
            raise ValidationError("This comparison was posted before: compare again to see what is left.")
        if not chosen or set(chosen) - set(POSTABLE):
            raise ValidationError({"statuses": "Choose which differences."})
        if Status.NOT_HERE in chosen and project is None:
            raise ValidationError({"project": "Say whose it is, what nobody called through Weir."})
        differences: list[Difference] = list(postable(stored, chosen))
        if not differences:
            raise ValidationError({"statuses": "There is no money in these differences."})
        adjustment = Adjustment(report=stored, version=version, project=project, note=note)
        adjustment.created_by = actor
        adjustment.full_clean(exclude=["created_by"])
        adjustment.save()
        AdjustedDay.objects.bulk_create(
            (
                AdjustedDay(
                    adjustment=adjustment,
                    day=row.day,
                    model=row.model,
                    credential=row.credential,
                    amount_nano=row.difference_nano or 0,
                    counted_nano=row.counted_nano,
                )
                for row in differences
            ),
            batch_size=_TOGETHER,
        )
        after = {"report": stored.pk, "version": version, "differences": len(differences), "statuses": chosen}
        after |= {"cost_nano": sum(row.difference_nano or 0 for row in differences), "note": note}
        after |= {"project": project.pk if project is not None else None}
        audit.record(actor=actor, action="adjustment.posted", target=adjustment, area=Area.USAGE, after=after)
    _begin()
    return adjustment


def take_back(adjustment: Adjustment, *, actor: Any) -> None:
    """Begins to add its opposite. Raises ValidationError."""
    with transaction.atomic():
        stored = Adjustment.objects.select_for_update().get(pk=adjustment.pk)
        if stored.state != Adjustment.State.POSTED:
            raise ValidationError("Only what is posted can be taken back.")
        days = stored.items.order_by().values_list("day", flat=True).distinct()
        if any(adjustments.is_sealed(begin_of(day)) for day in days):
            raise ValidationError("Its month is sealed by now: what is sealed is changed no more.")
        Adjustment.objects.filter(pk=stored.pk).update(state=Adjustment.State.UNDOING, claimed_at=None, done_at=None)
        audit.record(actor=actor, action="adjustment.undone", target=stored, area=Area.USAGE)
    _begin()


def _begin() -> None:
    """The worker hears of it at once; if it does not, it looks every minute."""
    transaction.on_commit(_tell)


def _tell() -> None:
    try:
        current_app.send_task(TASK, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("the worker was not told of a report at once: %s", error)
