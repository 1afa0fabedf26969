"""What a release is made of: every package of the locks that its image holds, and every file that browsers are given.

    python -m tests.supply sbom var/sbom.cdx.json       `make sbom`: CycloneDX 1.6, the same bytes from the same commit
    python -m tests.supply licences                     `make licences`: the table in docs/licences.md

Versions and hashes are those of the locks, for the Python of the image. Licences are told by the metadata of what is
installed here, which is what the locks name (`tests/house/test_supply.py`).
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT

REQUIREMENTS = ROOT / "requirements"
LOCKS = ("production", "otel", "pubsub", "semantic")  # of the image, as .github/workflows/image.yml builds it
# The image's Python: deploy/docker/Dockerfile.
IMAGE = {
    **{"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    **{"implementation_name": "cpython", "platform_python_implementation": "CPython", "extra": ""},
    **{"python_version": "3.13", "python_full_version": "3.13.18", "implementation_version": "3.13.18"},
}
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^\]]+\])?==(\S+?)(?: ; ([^\\\n]+?))? \\\n((?:    --hash=.*\n)+)", re.MULTILINE
)
PAGE = ROOT / "docs" / "licences.md"
BEGIN, END = "<!-- licences:begin -->", "<!-- licences:end -->"
# As metadata without an expression of SPDX's calls them. Who says “BSD” and no more means the three clauses or the two.
SPELT = {
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache": "Apache-2.0",
    "BSD License": "BSD",
    "New BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause OR Apache-2.0": "BSD-3-Clause OR Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "LGPLv3": "LGPL-3.0-only",
}
# Whose metadata holds the text itself, or names two without saying which.
READ = {
    "httpx-aiohttp": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "uvloop": "MIT OR Apache-2.0",
}


@dataclass(frozen=True)
class Component:
    """A package of PyPI's, or a file that browsers are given (`kind` npm)."""

    kind: str
    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str
    locks: tuple[str, ...] = ()

    @property
    def purl(self) -> str:
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}@{self.version}"


def locked(name: str, *, environment: dict[str, str] | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By canonical name: version and hashes of what a lock has for that Python, by default for this one."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    return {
        canonicalize_name(package): (version, tuple(re.findall(r"sha256:([0-9a-f]{64})", hashes)))
        for package, version, marker, hashes in PIN.findall(text)
        if not marker or Marker(marker).evaluate(environment)
    }


@functools.cache
def components() -> list[Component]:
    """Everything of others that a release holds, by name."""
    found: dict[str, Component] = {}
    for lock in LOCKS:
        for name, (version, hashes) in locked(lock, environment=IMAGE).items():
            known = found[name].locks if name in found else ()
            found[name] = Component("pypi", name, version, hashes, licence(name), (*known, lock))
    return [*(found[name] for name in sorted(found)), *sorted(vendored(), key=lambda one: one.name)]


def vendored() -> Iterator[Component]:
    for row in json.loads((ROOT / "static" / "vendor" / "manifest.json").read_text(encoding="utf-8")):
        yield Component("npm", row["package"], row["version"], (row["sha256"],), row["licence"], ("static",))


def licence(name: str) -> str:
    """As SPDX has it, if metadata says so; empty: nobody can tell."""
    if name in READ:
        return READ[name]
    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{name} is locked, and not installed here: make setup") from None
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License ")
    ]
    words = [(told.get("License") or "").strip(), *classifiers]
    known = {
        SPELT.get(word, word) for word in words if SPELT.get(word, word) in {*SPELT.values(), "BSD-2-Clause", "MIT-0"}
    }
    exact = known - {"BSD"} or known
    return exact.pop() if len(exact) == 1 else ""


def requires(name: str) -> list[str]:
    """What a package asks for in the image, without its extras."""
    asked = [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    return sorted({canonicalize_name(one.name) for one in asked if one.marker is None or one.marker.evaluate(IMAGE)})


def version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def sbom() -> dict[str, Any]:
    """A CycloneDX document. It says the time of the commit, and a number made of what it holds."""
    known = components()
    packages = {one.name: one.purl for one in known if one.kind == "pypi"}
    ours = f"pkg:github/weir-gateway/weir@v{version()}"
    rows = [_row(one) for one in known]
    links = [
        {"ref": purl, "dependsOn": sorted({packages[other] for other in requires(name) if other in packages})}
        for name, purl in packages.items()
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ours + json.dumps(rows))}",
        "version": 1,
        "metadata": {
            "timestamp": f"{committed():%Y-%m-%dT%H:%M:%SZ}",
            "component": {
                **{"type": "application", "bom-ref": ours, "name": "weir", "version": version(), "purl": ours},
                "licenses": [{"license": {"id": "MIT"}}],
            },
        },
        "components": rows,
        "dependencies": [{"ref": ours, "dependsOn": sorted(one.purl for one in known)}, *links],
    }


def _row(component: Component) -> dict[str, Any]:
    said = {"expression": component.licence} if component.licence != "BSD" else {"license": {"name": "BSD"}}
    # Each is of one file of the release that the lock admits: a component's own `hashes` would have to be all the same.
    files = [{"name": "weir:locked:sha256", "value": digest} for digest in component.hashes]
    return {
        **{"type": "library", "bom-ref": component.purl, "name": component.name, "version": component.version},
        **{"purl": component.purl, "licenses": [said], "scope": "required"},
        "properties": [*({"name": "weir:lock", "value": lock} for lock in component.locks), *files],
    }


def committed() -> datetime:
    """When the commit was made that this is built of."""
    try:
        told = subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(f"{ROOT} is no clone with a commit, whose time this would say: git clone it") from None
    return datetime.fromtimestamp(int(told), UTC)


def table() -> str:
    """By licence, who has it."""
    rows: dict[str, list[str]] = {}
    for one in components():
        rows.setdefault(one.licence or "unknown", []).append(one.name if one.kind == "pypi" else f"{one.name} (static)")
    lines = ["| Licence | Packages |", "|---|---|"]
    return "\n".join([*lines, *(f"| {said} | {', '.join(names)} |" for said, names in sorted(rows.items()))])


def main(what: str, *arguments: str) -> None:
    if what == "sbom":
        path = Path(*arguments)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sbom(), indent=1) + "\n", encoding="utf-8")
        print(path)
    else:
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
