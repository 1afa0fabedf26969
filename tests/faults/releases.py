"""The release before this one, as it lies in the history: to run beside this one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.deploy import tools
from tests.servers import ROOT

PREVIOUS = "392988ae10e5ad394790c33362fef60ad384734b"  # moves when a release is made
_HEADING = re.compile(r"^## (\d+\.\d+\.\d+)", re.MULTILINE)


def unpack(folder: Path) -> Path:
    """Its tree, in `folder`. Skips the test where the history does not reach back so far, and fails it in CI."""
    packed = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        said = packed.stderr.decode(errors="replace").strip()
        tools.lacks("history", f"needs the history; git fetch --unshallow brings it to a shallow clone: {said[:200]}")
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return folder


def versions(tree: Path) -> list[str]:
    """That its changelog tells of, the newest first."""
    return _HEADING.findall((tree / "CHANGELOG.md").read_text(encoding="utf-8"))
