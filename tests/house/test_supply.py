"""What a poisoned package would have to get past: nothing is here that no lock names, that nobody has decided on, or
whose terms nobody has read; nothing runs because Python starts, and nothing calls out because Weir is imported."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests import supply
from tests.architecture import tree

pytestmark = [pytest.mark.once, pytest.mark.attack("F35")]
# How many packages there are, at most. One more is a decision: raise the number in the change that brings it.
BUDGET = {"base": 105, "production": 105, "image": 130, "dev": 231}
INSTALLERS = {"pip", "setuptools", "wheel"}  # a virtual environment brings them
# Their terms let whoever runs Weir change it, keep it to themselves and pass it on.
FREE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "TCL"),
    *("Unlicense", "Zlib", "ZPL-2.1"),
}
# Of a file or a library, whose own changes would have to be shown. None is changed here, and each is a package of its
# own that whoever runs Weir can replace.
UNCHANGED = {
    "certifi": "MPL-2.0",
    "mozilla-django-oidc": "MPL-2.0",
    **dict.fromkeys(("psycopg", "psycopg-binary", "psycopg-pool", "python-crontab"), "LGPL-3.0-only"),
}
# Python runs each line of a .pth file that begins with `import`, whatever is started. By the file's digest, those of
# coverage and of setuptools: both are development's, and the first does nothing unless the environment says so.
KNOWN = {
    "a1_coverage.pth": "ef2ed06d19867ec669c09a804060666a9cd5e383af0a9d11aa2de79b77d448e8",
    "distutils-precedence.pth": "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224",
}
RUN_AT_START = ("sitecustomize", "usercustomize")
# Which of Weir's processes imports what: all of it, with whatever may call out or start something refused.
IMPORTS = """
import sys
told = []
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system", "os.exec"):
        told.append(event)
        raise RuntimeError(event)
sys.addaudithook(refuse)
import gateway_site.asgi, gateway_site.worker, gateway_site.beat, gateway_site.run
from django.urls import get_resolver
assert len(list(get_resolver().reverse_dict)) > 10
import google.cloud.pubsub_v1, opentelemetry.sdk.trace, pyarrow, qdrant_client, botocore.auth
assert told == [], told
"""


def strangers(installed: Mapping[str, str], locked: Mapping[str, str]) -> list[str]:
    """What is installed and not locked, or at another version, or locked and not installed."""
    wrong = {name: installed.get(name) for name in locked if installed.get(name) != locked[name]}
    more = installed.keys() - locked.keys() - INSTALLERS
    return sorted([*(f"{name} is {found}, not {locked[name]}" for name, found in wrong.items()), *more])


def here() -> dict[str, str]:
    found = importlib.metadata.distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    return {canonicalize_name(one.metadata["Name"]): one.version for one in found}


def test_what_is_installed_is_what_the_lock_names_and_no_more():
    locked = {name: version for name, (version, _) in supply.locked("dev").items()}
    assert len(locked) > 200
    assert strangers(here(), locked) == [], "make setup; a name that it leaves is nobody's: uninstall it"


def test_a_package_too_many_or_of_another_version_would_be_found():
    locked = {"django": "5.2.19", "httpx2": "2.16.2", "celery": "5.7.0"}
    installed = {"django": "5.2.19", "httpx2": "2.16.3", "litellm": "1.82.8", "pip": "26"}
    assert strangers(installed, locked) == ["celery is None, not 5.7.0", "httpx2 is 2.16.3, not 2.16.2", "litellm"]


@pytest.mark.parametrize("name", BUDGET)
def test_there_are_no_more_packages_than_were_decided_on(name):
    locks = supply.LOCKS if name == "image" else (name,)
    packages = {package for lock in locks for package in supply.locked(lock, environment=supply.IMAGE)}
    assert len(packages) == BUDGET[name], (
        "more: do without, or raise BUDGET in this change and say why; fewer: lower it"
    )


def test_no_lock_names_what_was_poisoned_once():
    texts = {path.name: path.read_text(encoding="utf-8") for path in supply.REQUIREMENTS.iterdir()}
    found = [name for name, text in texts.items() if re.search(r"^litellm\b", text, re.MULTILINE | re.IGNORECASE)]
    assert found == [], "find what asks for it, and do without"


def run_at_start(folders: Iterable[Path]) -> list[str]:
    """Files that Python reads by itself when it starts, and that are not as they are known."""
    found = []
    for folder in folders:
        found += [path.name for name in RUN_AT_START for path in folder.glob(f"{name}*")]
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.pth"))}
        found += [name for name, digest in digests.items() if KNOWN.get(name) != digest]
    return found


def test_nothing_runs_because_python_starts_but_what_is_known():
    found = run_at_start({Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")})
    assert found == [], "read the file and who brought it; if it may run, put its digest into KNOWN"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("litellm_init.pth", "import os, subprocess; subprocess.Popen(['true'])"),
        ("distutils-precedence.pth", "import os; os.system('true')"),
        ("paths.pth", "/somewhere/else"),
        ("sitecustomize.py", ""),
        ("usercustomize.py", ""),
    ],
)
def test_what_else_would_run_is_found(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert run_at_start([tmp_path]) == [name]


def test_no_package_of_a_release_brings_such_a_file():
    """So the image has none, and its build refuses one (deploy/docker/build.sh)."""
    brought = []
    for one in supply.components():
        if one.kind == "pypi":
            files = importlib.metadata.files(one.name) or []
            assert files, f"{one.name} does not say what it holds"
            brought += [str(file) for file in files if file.suffix == ".pth" or file.stem in RUN_AT_START]
    assert brought == [], "do without that package, or without that file (deploy/docker/build.sh)"


def refused(licences: Mapping[str, str]) -> list[str]:
    """Who is under terms that were not agreed to, or does not tell them."""
    found = []
    for name, told in licences.items():
        words = set(re.split(r" (?:AND|OR) ", told)) if told else {"unknown"}
        if words - FREE and UNCHANGED.get(name) != told:
            found.append(f"{name}: {told or 'unknown'}")
    return found


def test_everything_in_a_release_is_under_terms_that_were_agreed_to():
    found = refused({one.name: one.licence for one in supply.components()})
    assert found == [], "read its terms: then SPELT or READ of tests/supply.py, FREE or UNCHANGED, or do without it"
    assert UNCHANGED.keys() <= {one.name for one in supply.components()}, (
        "take off the names that are nobody's any more"
    )


def test_terms_that_nobody_has_agreed_to_would_be_found():
    told = {"a": "MIT", "b": "", "c": "AGPL-3.0-only", "d": "MIT OR GPL-3.0-only", "psycopg": "LGPL-3.0-only"}
    assert refused(told) == ["b: unknown", "c: AGPL-3.0-only", "d: MIT OR GPL-3.0-only"]


def test_the_page_of_licences_is_of_these_locks():
    page = supply.PAGE.read_text(encoding="utf-8")
    assert f"{supply.BEGIN}\n{supply.table()}\n{supply.END}" in page, "make licences"


def test_importing_weir_and_its_extras_calls_nobody_and_starts_nothing(tmp_path):
    said = {"WEIR_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "gateway_site.settings", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=tree.ROOT, env=said, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), "something calls out or starts something when it is imported"


def test_the_list_of_what_is_in_a_release_has_all_of_it_and_is_the_same_each_time(tmp_path):
    path = tmp_path / "sbom.json"
    said = {"TZ": "Pacific/Chatham", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "tests.supply", "sbom", str(path)]
    subprocess.run(command, cwd=tree.ROOT, env=said, check=True, timeout=120, stdout=subprocess.DEVNULL)
    document = json.loads(path.read_text())
    assert document == supply.sbom(), "something in it depends on who makes it"
    listed = {row["purl"]: row for row in document["components"]}
    assert len(listed) == BUDGET["image"] + len(list(supply.vendored()))
    incomplete = [name for name, row in listed.items() if not row["licenses"] or not row["properties"][-1]["value"]]
    assert incomplete == []
    (graph,) = [row["dependsOn"] for row in document["dependencies"] if row["ref"].startswith("pkg:pypi/celery@")]
    assert any(purl.startswith("pkg:pypi/kombu@") for purl in graph)
