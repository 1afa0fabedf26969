"""What browsers are given that others wrote: each file is the one that its manifest names, with its licence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.architecture import tree

pytestmark = pytest.mark.attack("F35")
FOLDER = tree.ROOT / "static" / "vendor"
FREE = {"0BSD", "MIT", "BSD-3-Clause", "ISC"}


def wrong(folder: Path) -> list[str]:
    """What is not as the manifest says, and what it does not name."""
    rows = json.loads((folder / "manifest.json").read_text())
    found = [f"{row['file']}: licence {row['licence']}" for row in rows if row["licence"] not in FREE]
    sums = {row[name]: row[digest] for row in rows for name, digest in _PAIRS}
    for name, digest in sums.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            found.append(f"{name}: another file")
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found + [f"{name}: not in the manifest" for name in sorted(there - sums.keys() - {"manifest.json"})]


_PAIRS = (("file", "sha256"), ("licence_file", "licence_sha256"))


def test_vendored_files_are_what_the_manifest_says():
    assert wrong(FOLDER) == []


@pytest.mark.parametrize("spoilt", ["changed", "added", "licence"])
def test_another_file_is_found(tmp_path, spoilt):
    for path in FOLDER.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(FOLDER)
            copy.parent.mkdir(exist_ok=True, parents=True)
            copy.write_bytes(path.read_bytes())
    rows = json.loads((tmp_path / "manifest.json").read_text())
    if spoilt == "changed":
        (tmp_path / rows[0]["file"]).write_text("alert(1)")
    elif spoilt == "added":
        (tmp_path / "more.js").write_text("")
    else:
        rows[0]["licence"] = "SEE LICENSE"
        (tmp_path / "manifest.json").write_text(json.dumps(rows))
    assert len(wrong(tmp_path)) == 1
