"""How long the ledger keeps its rows, and the months that are past it."""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings

from apps.usage import partitions, rollups, sealing
from apps.usage.models import Entry, SealedMonth

log = logging.getLogger(__name__)

# A month is kept whole for one more at least, so that what comes late finds the rows that it is about.
LEAST = 1

Exported = dict[datetime, bytes]


def due(now: datetime, *, months: int | None = None) -> list[datetime]:
    """The months past retention that have rows or are sealed in part, oldest first. `months`: to keep beside the
    present one; 0: all."""
    keep = settings.WEIR_RETENTION_MONTHS if months is None else max(months, LEAST)
    if not keep:
        return []
    end = partitions.month_of(now)
    for _ in range(keep):
        end = partitions.before(end)
    begun = SealedMonth.objects.filter(finished_at=None, month__lt=end).values_list("month", flat=True)
    return sorted({*sealing.occupied_months(end), *begun})


def seal_due(now: datetime, *, months: int | None = None) -> list[SealedMonth]:
    """Seals what is due. A month that cannot be sealed does not keep the others from it; the log says why."""
    sealed = []
    for month in due(now, months=months):
        try:
            sealed.append(sealing.seal(month))
        except sealing.Refused as refusal:
            log.warning("%s is not sealed: %s", f"{month:%Y-%m}", refusal)
    return sealed


def export(months: Iterable[datetime], path: Path) -> Exported:
    """Writes the months' rows, one JSON object a line, all columns; returns the digest of each hour.

    The file is there when it is whole, and on disk. Raises OSError; FileExistsError before anything is written.
    """
    if path.exists():
        raise FileExistsError(f"{path} is there already")
    unfinished = path.with_name(f"{path.name}.unfinished")
    digests: Exported = {}
    with unfinished.open("wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb") as packed:
            for month in months:
                for hour in sealing.occupied_hours(month):
                    digests[hour] = _write(hour, packed)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return digests


def _write(hour: datetime, file: Any) -> bytes:
    columns = [field.attname for field in Entry._meta.concrete_fields]
    encoder = msgspec.json.Encoder()
    for row in sealing.entries(hour, hour + rollups.HOUR).values(*columns).iterator(chunk_size=2000):
        file.write(encoder.encode(row) + b"\n")
    return sealing.digest_of(hour).digest
