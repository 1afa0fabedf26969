"""The figures of several processes on one host, whichever of them is asked: PROMETHEUS_MULTIPROC_DIR is a folder that
they share.

What prometheus_client counts lies there already, and is added up. All that is told of a single process bears its name:
each writes its own now and then, and whoever is asked tells those of all that live. So no sum holds anything twice, if
one of them is asked and not each.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import structlog
from django.conf import settings
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import mark_process_dead

log = structlog.get_logger(__name__)

TELL_SECONDS = 5.0
LATE_SECONDS = 12 * TELL_SECONDS  # whoever has told nothing for so long is hung, or gone and its process id another's
_OWN = re.compile(r"weir_(\d+)\.json")
_LIBRARYS = re.compile(r"(counter|gauge_[a-z]+|histogram|summary)_(\d+)\.db")


class _Sample(msgspec.Struct, array_like=True):
    name: str
    labels: dict[str, str]
    value: float


class _Family(msgspec.Struct, array_like=True):
    name: str
    meaning: str
    kind: str
    samples: list[_Sample]


_read = msgspec.json.Decoder(list[_Family]).decode


def folder() -> Path | None:
    """None: each process tells its own."""
    return Path(settings.WEIR_FIGURES_DIR) if settings.WEIR_FIGURES_DIR else None


def tell(families: Iterable[Metric]) -> None:
    """Writes down what this process has to tell, for whoever is asked."""
    place = folder()
    if place is None:
        return
    told = [_Family(one.name, one.documentation, one.type, [_Sample(*s[:3]) for s in one.samples]) for one in families]
    unseen = place / f".weir_{os.getpid()}_{threading.get_native_id()}"  # whoever else tells meanwhile has another
    unseen.write_bytes(msgspec.json.encode(told))
    unseen.rename(place / f"weir_{os.getpid()}.json")


def others() -> list[Metric]:
    """What the others who live have written of late."""
    place, found = folder(), []
    for file in sorted(place.glob("weir_*.json")) if place is not None else ():
        named = _OWN.fullmatch(file.name)
        if named is None or int(named[1]) == os.getpid():
            continue
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            if time.time() - file.stat().st_mtime > LATE_SECONDS:
                continue
            found += [_metric(family) for family in _read(file.read_bytes())]
    return found


def merged(families: Iterable[Metric]) -> list[Metric]:
    """Of each name one."""
    by_name: dict[str, Metric] = {}
    for family in families:
        known = by_name.setdefault(family.name, family)
        if known is not family:
            known.samples += family.samples
    return list(by_name.values())


def sweep(*, is_beginning: bool = False) -> None:
    """Forgets what the dead have left, but their counters, which have counted; these, too, when one begins and no other
    lives who shared them. Process ids of other hosts or containers mean nothing here: a folder is for one of them."""
    place = folder()
    if place is None:
        return
    left = {file: int(named[2]) for file in place.glob("*.db") if (named := _LIBRARYS.fullmatch(file.name))}
    told = {file: int(named[1]) for file in place.glob("weir_*.json") if (named := _OWN.fullmatch(file.name))}
    alive = {pid for pid in {*left.values(), *told.values()} if _lives(pid)}
    for pid in {*left.values()} - alive:
        with contextlib.suppress(FileNotFoundError):
            mark_process_dead(pid, str(place))
    is_over = is_beginning and not alive - {os.getpid()}
    for file, pid in (told | left if is_over else told).items():
        if pid not in alive:
            file.unlink(missing_ok=True)


def begin(families: Callable[[], Iterable[Metric]]) -> None:
    """From now on this process tells its `families`, where several share a folder. In a process that serves."""
    if (place := folder()) is None:
        return
    place.mkdir(parents=True, exist_ok=True)
    sweep(is_beginning=True)
    threading.Thread(target=_keep_telling, args=[families], name="metrics", daemon=True).start()


def _keep_telling(families: Callable[[], Iterable[Metric]]) -> None:
    pause, is_failing = threading.Event(), False
    while True:
        is_failing = not _told(families, is_failing=is_failing)
        pause.wait(TELL_SECONDS)


def _told(families: Callable[[], Iterable[Metric]], *, is_failing: bool) -> bool:
    """Whether it was written down. A full disk costs figures, and no more; nor does a figure that cannot be read."""
    try:
        tell(families())
    except Exception as error:
        if not is_failing:
            log.warning("figures.untold", exc_info=not isinstance(error, OSError))
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _metric(family: _Family) -> Metric:
    metric = Metric(family.name, family.meaning, family.kind)
    for sample in family.samples:
        metric.add_sample(sample.name, sample.labels, sample.value)
    return metric
