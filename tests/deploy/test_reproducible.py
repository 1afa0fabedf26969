"""The same commit makes the same files of Weir, byte for byte, whoever builds it, wherever and when: so anybody can
find out whether a release is what its commit says. Those of others are what the locks' hashes admit. Times are the
exporter's to set (`rewrite-timestamp`)."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.deploy.test_image import fill_with_code, lines
from tests.servers import ROOT

pytestmark = [pytest.mark.once, pytest.mark.attack("F35")]
MAKERS = (
    {"TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "1"},
    {"TZ": "Pacific/Chatham", "LANG": "C", "PYTHONHASHSEED": "4711"},
)
UMASKS = (0o022, 0o077)


def clone(folder: Path, *, umask: int) -> Path:
    """What is committed, as somebody has it who has just cloned it."""
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), folder], check=True, umask=umask)
    return folder


def contents(folder: Path) -> dict[str, tuple[str, str]]:
    """Mode and digest of each file that is not the environment's, and the modes of folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if not place.startswith("venv/") and not path.is_symlink():
            digest = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[place] = (stat.filemode(path.stat().st_mode), digest)
    return found


def made(clone: Path, opt: Path, *, umask: int, maker: dict[str, str]) -> dict[str, tuple[str, str]]:
    """At one place, as images have it, and as the Dockerfile leaves it."""
    previous = os.umask(umask)
    try:
        fill_with_code(opt, clone=clone, umask=umask, **maker)
    finally:
        os.umask(previous)
    (command,) = [line for line in lines() if "build.sh site" in line]
    subprocess.run(["chmod", *command.partition("chmod ")[2].split()[:2], opt], check=True)
    found = contents(opt)
    shutil.rmtree(opt)
    return found


def test_two_clones_make_the_same_files(tmp_path):
    clones = [clone(tmp_path / f"clone-{umask}" / "weir", umask=umask) for umask in UMASKS]
    first, second = (
        made(one, tmp_path / "opt" / "weir", umask=umask, maker=maker)
        for one, umask, maker in zip(clones, UMASKS, MAKERS, strict=True)
    )
    assert len(first) > 1000
    assert {place for place in first.keys() | second.keys() if first.get(place) != second.get(place)} == set()
    tracked = set(subprocess.check_output(["git", "ls-files"], cwd=clones[0], text=True).splitlines())
    files = {place for place, (mode, _) in first.items() if mode.startswith("-")}
    of_nobody = {place for place in files - tracked if "__pycache__/" not in place and "staticfiles/" not in place}
    assert of_nobody == set(), "what is in no commit"
