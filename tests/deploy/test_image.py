"""The image, without an engine that builds one: its steps are run in a folder, by the script that the Dockerfile runs,
with the files that it copies and only the packages that its lock names; what came of them is served by a process that
may not write there. Left to a real build is what the base image brings."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import httpx2
import pytest

from tests import migrated, services
from tests.deploy import tools
from tests.deploy.test_env import SECRETS, values
from tests.house.test_locks import pins
from tests.servers import ROOT, Process, start_process

FOLDER = ROOT / "deploy" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
READY = re.compile(r"running on http://0\.0\.0\.0:(\d+)")
WEIR = 10001
OURS = ("DJANGO_", "WEIR_", "DATABASE_", "REDIS_", "CELERY_", "SSL_", "PYTHON")


def lines(text: str = DOCKERFILE) -> list[str]:
    """Instructions, each in one line."""
    kept = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [" ".join(line.split()) for line in kept.splitlines() if line.strip()]


def is_sent(path: Path, *, clone: Path = ROOT) -> bool:
    """Whether the engine gets to see it: the last rule that fits decides."""
    place, sent = path.relative_to(clone).as_posix(), True
    for rule in IGNORED:
        pattern = rule.removeprefix("!")
        deep = pattern.removeprefix("**/")
        fits = pattern == "*" or place == pattern or place.startswith(f"{pattern}/")
        if fits or (deep != pattern and any(fnmatch(part, deep) for part in Path(place).parts)):
            sent = rule.startswith("!")
    return sent


def copied(clone: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """What the Dockerfile copies of the clone, file by file, with its place below /opt/weir."""
    for line in lines():
        if not line.startswith("COPY ") or "--from" in line:
            continue
        *sources, target = shlex.split(line)[1:]
        if target.startswith("/build"):
            continue
        for source in (clone / name for name in sources):
            files = [source] if source.is_file() else (path for path in source.rglob("*") if path.is_file())
            for path in files:
                place = Path(target) / (path.name if source.is_file() else path.relative_to(source))
                if is_sent(path, clone=clone):
                    yield path, place.as_posix()


def fill(venv: Path, *, lock: Path) -> None:
    """Links what the lock names from the environment of the tests, which holds it at the same versions."""
    there, here = Path(sysconfig.get_path("purelib")), next(venv.glob("lib/python*/site-packages"))
    for name, marker in pins(lock.read_text()):
        try:
            files = importlib.metadata.distribution(name.partition("[")[0]).files or []
        except importlib.metadata.PackageNotFoundError:
            assert marker, f"{name} is in {lock.name}, but not here"
            continue
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (here / top).exists():
                (here / top).symlink_to(there / top)


def build(*arguments: str | Path, umask: int = -1, **variables: str) -> None:
    """As on a machine that knows nothing of these tests."""
    said = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | variables
    subprocess.run(["sh", FOLDER / "build.sh", *arguments], check=True, timeout=300, env=said, umask=umask)


def fill_with_code(opt: Path, *, clone: Path = ROOT, umask: int = -1, **variables: str) -> None:
    """/opt/weir of the image, of the files that it copies of a clone."""
    for path, place in copied(clone):
        (opt / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, opt / place)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", opt / "venv"], check=True)
    fill(opt / "venv", lock=ROOT / "requirements" / "production.txt")
    build("site", opt / "venv", opt, umask=umask, **variables)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Iterator[Path]:
    """/opt/weir of the image, which nobody may write to."""
    opt = tmp_path_factory.mktemp("image") / "weir"
    fill_with_code(opt)
    folders = [opt, *(path for path in opt.rglob("*") if path.is_dir() and not path.is_symlink())]
    for folder in folders:
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.chown(folder, WEIR, WEIR)
    yield opt
    for folder in folders:
        folder.chmod(0o755)


def unprivileged() -> list[str]:
    """Before a command. Root keeps its number, as only root may enter some homes, and loses all that it may beyond
    others: what belongs to the image's user it cannot change."""
    if os.geteuid() != 0:
        return []
    return [*tools.find("setpriv"), "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


def variables(image: Path, folder: Path) -> dict[str, str]:
    """As the Dockerfile says them, moved, with secrets as an operator says them."""
    (env,) = [line for line in lines() if line.startswith("ENV")]
    said = dict(re.findall(r"\b((?:WEIR|PYTHON|DJANGO)_?\w*)=(\S+)", env))
    said |= {"WEIR_VAR": str(folder), "WEIR_JOURNAL_DIR": str(folder / "journal"), "TMPDIR": str(folder)}
    said |= {"WEIR_STATIC_DIR": said["WEIR_STATIC_DIR"].replace("/opt/weir", str(image)), "WEIR_REVISION": "0123abc"}
    for name in ("WEIR_SECRET_KEY", "WEIR_KEYRING", "WEIR_OPERATOR_TOKEN"):
        (folder / name).write_text(SECRETS[name])
        (folder / name).chmod(0o600)
        said[f"{name}_FILE"] = str(folder / name)
    return said | {"PATH": f"{image / 'venv/bin'}:{os.environ['PATH']}", "PYTHONPATH": "", "LANG": "C.UTF-8"}


def entering(image: Path, folder: Path, **more: str) -> list[str]:
    """How a container's command begins: its environment, its working folder, its entry point."""
    said = variables(image, folder) | more
    inside = ["env", "-i", "-C", str(image), *(f"{name}={value}" for name, value in said.items())]
    return [*inside, *unprivileged(), str(image / "deploy/docker/weir")]


@pytest.fixture(scope="module")
def container(image, tmp_path_factory) -> list[str]:
    """With books in a file, which are migrated: that takes no stores, and so another profile."""
    folder = tmp_path_factory.mktemp("var")
    shutil.copy(migrated.sqlite(), folder / "weir.db")
    return entering(image, folder, WEIR_PROFILE="embedded", WEIR_PORT=str(services.free_port()))


def ended(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def served(container, tmp_path) -> Iterator[tuple[Process, httpx2.Client]]:
    process = start_process([*container, "all"], ready=READY, log=tmp_path / "log")
    with httpx2.Client(base_url=f"http://127.0.0.1:{process.announced}", timeout=60) as client:
        yield process, client
    if process.popen.poll() is None:
        process.stop()


def test_what_is_copied_is_what_runs_and_no_secret_or_state():
    places = {place for _, place in copied()}
    assert {"manage.py", "gateway_site/settings.py", "apps/gateway/pipeline.py", "deploy/docker/weir"} <= places
    strays = [place for place in places if re.search(r"(^|/)(var|tests|\.env|\.git|__pycache__)(/|$)|\.pyc$", place)]
    assert strays == []
    tracked = subprocess.check_output(["git", "ls-files", "apps", "gateway_site"], cwd=ROOT, text=True).split()
    assert {name for name in tracked if (ROOT / name).exists()} - places == set()


def test_the_dockerfile_runs_as_nobody_and_says_how_it_is_asked():
    said = lines()
    assert f"USER {WEIR}:{WEIR}" in said
    assert [line for line in said if line.startswith("FROM")] == [
        "FROM python:${PYTHON} AS build",
        "FROM python:${PYTHON}",
    ]
    assert any(line.startswith("HEALTHCHECK") and line.endswith('"healthy"]') for line in said)
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)


def test_packages_come_from_locks_by_hash_and_from_wheels_alone(tmp_path):
    locks = tmp_path / "locks"
    locks.mkdir()
    whole = (ROOT / "requirements" / "production.txt").read_text()
    for lock, name in (("production", "asgiref"), ("otel", "sqlparse")):
        entry = re.search(rf"^{name}==.*\n(?:    .*\n)+", whole, re.MULTILINE)[0]
        (locks / f"{lock}.txt").write_text(entry if lock == "production" else re.sub("[0-9a-f]{64}", 64 * "0", entry))
    with pytest.raises(subprocess.CalledProcessError):
        build("packages", tmp_path / "venv", locks, "otel")
    (site,) = tmp_path.glob("venv/lib/python*/site-packages")
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"asgiref"}


@pytest.mark.attack("F35")
def test_an_image_with_a_file_that_python_runs_at_every_start_is_not_built(tmp_path):
    (tmp_path / "production.txt").write_text("")
    build("packages", tmp_path / "venv", tmp_path)
    (site,) = tmp_path.glob("venv/lib/python*/site-packages")
    for name in ("nobodys.pth", "sitecustomize.py"):
        (site / name).write_text("")
        with pytest.raises(subprocess.CalledProcessError):
            build("packages", tmp_path / "venv", tmp_path)
        (site / name).unlink()


def test_the_image_serves_where_it_may_not_write(served, container, image):
    process, client = served
    assert ended([*container, "healthy"]) == (0, "")
    assert client.get("/health/ready").status_code == 200
    secure = {"host": "weir.example.org", "x-forwarded-proto": "https"}
    page = client.get("/sign-in/", headers=secure)
    (style, *_) = re.findall(r'href="(/static/[^"]+\.css[^"]*)"', page.text)
    assert client.get(style, headers=secure).headers["content-type"].startswith("text/css")
    assert (image / "staticfiles" / style.removeprefix("/static/").partition("?")[0]).is_file()
    answer = client.post("/v1/messages", json={"model": "m", "max_tokens": 1, "messages": []})
    assert (answer.status_code, json.loads(answer.text)["error"]["type"]) == (401, "authentication_error")
    assert process.stop(signal.SIGTERM) == 0
    assert ended([*container, "healthy"])[0] == 1
    write = f"open({str(image / 'apps' / 'new.py')!r}, 'w')"
    assert "Permission denied" in ended([*unprivileged(), sys.executable, "-c", write])[1]


def test_commands_of_the_image_find_the_database_and_the_code(container, image, tmp_path):
    assert ended([*container, "migrate", "--check"])[0] == 0
    stores = {name: SECRETS[name] for name in ("DATABASE_URL", "REDIS_URL")}
    production = entering(image, tmp_path, **stores, **values("prod"), WEIR_JOURNAL_DIR=str(ROOT))
    status, said = ended([*production, "manage", "check", "--deploy", "--fail-level", "WARNING"])
    assert status == 0, said
    assert ended([*container, "elsewhere"])[0] == 2
