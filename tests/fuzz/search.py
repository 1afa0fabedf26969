"""Looks for input that makes a fault: guided by coverage where atheris can be had, else by chance alone.

What it finds is made small and kept in `tests/corpus`.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy import tools
from tests.fuzz import corpus, mutation
from tests.fuzz.contract import Target
from tests.fuzz.targets import TARGETS

GROWN = tools.ROOT / "var" / "fuzz"  # what was worth keeping of each search, for the next one
_TRIED = re.compile(r"stat::number_of_executed_units: (\d+)")
_REACHED = re.compile(r" cov: (\d+) ")
_START_SECONDS = 240  # in which a search has begun, on a busy machine
_ARTIFACTS = ("fault-*", "crash-*", "timeout-*", "oom-*")


@dataclass
class Outcome:
    """`tried` inputs. `reached`: places of the code, where coverage is known. `found`: files of the corpus."""

    tried: int = 0
    reached: int = 0
    found: list[Path] = field(default_factory=list)


def without() -> str:
    """Why atheris cannot be had; "": it can."""
    try:
        has_it = (tools.packages("fuzz") / "atheris").is_dir()
    except tools.Missing as missing:
        return str(missing)
    return "" if has_it else "there is no wheel of it for this Python on this machine"


def guided(names: Sequence[str], *, seconds: int, seed: int, folder: Path = GROWN) -> Outcome:
    """Raises RuntimeError for a search that did not begin."""
    place = folder / (names[0] if len(names) == 1 else "together")
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-fuzz-", dir="/tmp") as var, (place / "log").open("w+b") as log:
        variables = {"WEIR_TEST_VAR": var, "PYTHONPATH": str(tools.packages("fuzz"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.guided", str(place), str(seconds), str(seed), *names],
            cwd=tools.ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(seconds + _START_SECONDS)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    found = [path for pattern in _ARTIFACTS for path in place.glob(pattern)]
    tried = _TRIED.findall(said)
    if not tried and not found:
        raise RuntimeError(said[-2000:])
    outcome = Outcome(int(tried[-1]) if tried else 0, max(map(int, _REACHED.findall(said)), default=0))
    if found:
        shutil.rmtree(place / "grown")  # the same may be in it many times
    for data, path in {path.read_bytes(): path for path in found}.items():
        outcome.found.append(_kept(data, names, is_slow=not path.name.startswith(("fault-", "crash-"))))
    for path in found:
        path.unlink()
    return outcome


def _kept(data: bytes, names: Sequence[str], *, is_slow: bool) -> Path:
    target = TARGETS[names[data[0] % len(names)]]
    return corpus.keep(target, data[1:] if is_slow else corpus.shrunk(target, data[1:]))


def by_chance(names: Sequence[str], *, seconds: float, seed: int) -> Outcome:
    """Each for the same time."""
    outcome, dice = Outcome(), random.Random(seed)
    for name in names:
        until = time.monotonic() + seconds / len(names)
        target = TARGETS[name]
        begun = corpus.inputs(target)
        while time.monotonic() < until:
            data = _changed(target, dice, begun)
            outcome.tried += 1
            if corpus.fault(target, data):
                outcome.found.append(corpus.keep(target, corpus.shrunk(target, data)))
                break
    return outcome


def _changed(target: Target, dice: random.Random, begun: list[bytes]) -> bytes:
    data = dice.choice(begun)
    for _ in range(dice.randrange(1, 5)):
        data = mutation.mutated(dice, data, target)
    return data
