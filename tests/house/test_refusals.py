"""Every setting that is wrong ends the start, with one line that names it. Each case is a process that reads the
settings and no more: a fork of one that has what they import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_site import reference
from gateway_site.declared import SECTIONS
from tests.architecture import tree

pytestmark = pytest.mark.attack("F35")
PRODUCTION = {
    "WEIR_PROFILE": "production",
    "WEIR_SECRET_KEY": "kAq7Zr2xP0vLw9YtB4nHc6MdF8sJgU1eXoR3iTqWb5KzNyVh-django",
    "WEIR_KEYRING": "1:b4nHc6MdF8sJgU1eXoR3iTqWb5KzNyVh",
    "WEIR_OPERATOR_TOKEN": "U1eXoR3iTqWb5KzNyVhkAq7Zr2xP0vLw9YtB-operator",
    "DATABASE_URL": "postgres://weir:word@db.example.org/weir",
    "REDIS_URL": "redis://cache.example.org/0",
    "WEIR_BASE_URL": "https://weir.example.org",
    "WEIR_ALLOWED_HOSTS": "weir.example.org",
    "WEIR_TRUSTED_PROXIES": "10.0.0.0/8",
}
# By setting, what makes no sense there. A tuple is with other settings, which are right by themselves.
WRONG: dict[str, str | tuple[str, dict[str, str]]] = {
    "WEIR_PROFILE": "prod",
    "WEIR_ROLE": "worker",
    "WEIR_VAR": "/proc/nowhere",
    "WEIR_JOURNAL_DIR": ("/dev/shm/journal", {"WEIR_DURABILITY": "power"}),
    "DATABASE_URL": "mysql://db.example.org/weir",
    "REDIS_URL": "cache.example.org:6379",
    "CELERY_BROKER_URL": "kafka://broker.example.org",
    "WEIR_SECRET_KEY": ("please-change-me-" * 4, PRODUCTION),
    "WEIR_KEYRING": "short",
    "WEIR_OPERATOR_TOKEN": ("token", PRODUCTION),
    "WEIR_VAULT_TOKEN": ("s.1", {"WEIR_VAULT_TOKEN_FILE": "/run/token"}),
    "WEIR_VAULT_TOKEN_FILE": ("/run/token", {"WEIR_VAULT_TOKEN": "s.1"}),
    "WEIR_QDRANT_API_KEY": "key",
    "WEIR_QDRANT_URL": "qdrant:6333",
    "WEIR_PRESIDIO_URL": "presidio",
    "WEIR_BASE_URL": "weir.example.org",
    "WEIR_ALLOWED_HOSTS": "https://weir.example.org",
    "WEIR_TRUSTED_ORIGINS": "weir.example.org",
    "WEIR_CORS_ORIGINS": "app.example.org",
    "WEIR_TRUSTED_PROXIES": "balancer",
    "WEIR_PRIVATE_NETWORKS": "home",
    "WEIR_FETCH_NETWORKS": "home",
    "WEIR_EMAIL_URL": "https://mail.example.org",
    "WEIR_EMAIL_FROM": "weir",
    "WEIR_DURABILITY": "fast",
    "WEIR_FIRST_BYTE_GATE": "redis",
    "WEIR_PRESIDIO_FAILURE": "maybe",
    "WEIR_REQUIRE_TOTP": "some",
    "WEIR_LOG_LEVEL": "LOUD",
    "WEIR_LOG_FORMAT": "xml",
    "WEIR_FAILPOINT": "nowhere:kill",
    "WEIR_DEBUG": ("on", PRODUCTION),
    "WEIR_SSL_REDIRECT": ("perhaps", PRODUCTION),
    "WEIR_HSTS_SECONDS": ("long", PRODUCTION),
    "WEIR_STOP_SECONDS": ("30", {"WEIR_DRAIN_SECONDS": "300"}),
    "WEIR_RETENTION_MONTHS": "-1",
    "WEIR_TRACE_URL": "https://tempo.example.org/trace",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318",
}
# Any text is one, or another part of the code judges it when it is used.
ANY = {
    *("WEIR_REPLICA", "WEIR_REVISION", "WEIR_EVENT_SOURCE", "WEIR_EVENT_FOLDERS", "WEIR_PRESIDIO_LANGUAGE"),
    *("WEIR_KEY_PEPPER", "WEIR_STATIC_DIR", "WEIR_TRACE_PROVIDERS", "PUBSUB_EMULATOR_HOST"),
    "PROMETHEUS_MULTIPROC_DIR",
    "PORT",  # `make run` reads it: tests/house/test_make_run.py
}
BY_KIND = {"integer": "many", "number": "soon", "flag": "perhaps"}

READ = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import gateway_site.settings
for name in ("env", "refusals", "logs", "settings", "telemetry.wanted"):  # what they have imported stays
    parent, _, last = f"gateway_site.{name}".rpartition(".")
    del sys.modules[f"{parent}.{last}"]
    delattr(sys.modules[parent], last)
for line in sys.stdin:
    case = json.loads(line)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.environ.update(case)
        told = ""
        try:
            import gateway_site.settings
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        print(json.dumps(pipe.read()), flush=True)
"""


@pytest.fixture(scope="module")
def refusal(tmp_path_factory):
    """What ends a process that reads the settings with these variables; empty: nothing does."""
    ours = ("WEIR_", "DATABASE_", "REDIS_", "CELERY_", "OTEL_", "DJANGO_")
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    surroundings["WEIR_VAR"] = str(tmp_path_factory.mktemp("var"))
    command = [sys.executable, "-c", READ, str(tree.ROOT)]
    with subprocess.Popen(
        command, cwd=tree.ROOT, env=surroundings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reading:
        assert reading.stdin
        assert reading.stdout

        def ask(**variables: str) -> str:
            print(json.dumps(variables), file=reading.stdin, flush=True)
            kind, _, told = json.loads(reading.stdout.readline()).partition(": ")
            assert kind in ("", "ImproperlyConfigured", "KeyringRefused"), told
            return told

        yield ask
        reading.stdin.close()


def settings() -> list[str]:
    return sorted(setting.name for section in SECTIONS for setting in section.settings if setting.name not in ANY)


def wrong(name: str) -> tuple[str, dict[str, str]]:
    found = WRONG.get(name) or BY_KIND.get(reference.readings()[name].reader)
    assert found is not None, f"{name}: say in WRONG what makes no sense there"
    return found if isinstance(found, tuple) else (found, {})


def test_the_embedded_profile_and_a_right_production_are_refused_nothing(refusal):
    assert refusal() == ""
    assert refusal(**PRODUCTION) == ""


@pytest.mark.parametrize("name", [name for name in settings() if not name.startswith("OTEL_") or name in WRONG])
def test_what_makes_no_sense_is_refused_by_its_name_in_one_line(refusal, name):
    value, others = wrong(name)
    told = refusal(**{**others, name: value})
    assert name in told
    assert "\n" not in told
    assert told.endswith((".", "?"))


@pytest.mark.parametrize("name", ["WEIR_SECRET_KEY", "WEIR_BASE_URL", "WEIR_ALLOWED_HOSTS", "WEIR_TRUSTED_PROXIES"])
def test_what_production_must_have_is_named(refusal, name):
    assert name in refusal(**{**PRODUCTION, name: ""})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"WEIR_DRAIN_SECOND": "3"}, "WEIR_DRAIN_SECOND is no setting: did you mean WEIR_DRAIN_SECONDS?"),
        ({"WEIR_PROBES_PORT": "8002"}, "did you mean WEIR_PROBE_PORT?"),
        ({"WEIR_TRUSTED_ORIGINS": "tauri://localhost"}, "WEIR_TRUSTED_ORIGINS must be origins"),
        ({"WEIR_CORS_ORIGINS": "https://app.example.org/"}, "WEIR_CORS_ORIGINS must be origins"),
        ({"WEIR_OPERATOR_TOKEN_FIL": "/x"}, "did you mean WEIR_OPERATOR_TOKEN_FILE?"),
        ({"WEIR_ALLOWED_HOSTS": "*"}, "WEIR_ALLOWED_HOSTS admits every host"),
        ({"DATABASE_URL": "sqlite:////var/weir.db"}, "DATABASE_URL is SQLite, which is for one machine"),
        ({"DATABASE_URL": "postgres://weir@db:70000/weir"}, "DATABASE_URL must be like"),
        ({"DATABASE_URL": "postgres://weir@db"}, "DATABASE_URL names no database"),
        ({"REDIS_URL": "redis://cache/zero"}, "REDIS_URL must end with the number of a database"),
        ({"WEIR_BASE_URL": "http://weir.example.org"}, "WEIR_BASE_URL must be https"),
        ({"WEIR_SECRET_KEY": f"django-insecure-{'kAq7Zr2xP0vLw9' * 4}"}, "WEIR_SECRET_KEY is a placeholder"),
        ({"WEIR_OPERATOR_TOKEN": "please-change-me-please-change-me"}, "WEIR_OPERATOR_TOKEN is a placeholder"),
        ({"WEIR_KEYRING": ""}, "also needs: WEIR_KEYRING"),
        ({"WEIR_SECRET_KEY": "short"}, "WEIR_SECRET_KEY is a placeholder or has fewer than 50 characters"),
        ({"WEIR_KEYRING": "file:/nowhere"}, "WEIR_KEYRING: /nowhere cannot be read (FileNotFoundError)."),
        ({"WEIR_KEYRING": f"1:{PRODUCTION['WEIR_SECRET_KEY']}"}, "WEIR_KEYRING repeats WEIR_SECRET_KEY"),
        ({"WEIR_OPERATOR_TOKEN": PRODUCTION["WEIR_SECRET_KEY"]}, "WEIR_OPERATOR_TOKEN repeats WEIR_SECRET_KEY"),
        ({"WEIR_SECRET_KEY_FILE": "/nowhere"}, "WEIR_SECRET_KEY and WEIR_SECRET_KEY_FILE are both set"),
        ({"WEIR_SECRET_KEY": "", "WEIR_SECRET_KEY_FILE": "/dev/null"}, "WEIR_SECRET_KEY_FILE: /dev/null is empty"),
        ({"WEIR_FAILPOINT": "relay.begun:kill"}, "production needs WEIR_FAULTS=1 too"),
    ],
)
def test_what_contradicts_itself_in_production_is_refused(refusal, changes, told):
    assert told in refusal(**{**PRODUCTION, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"WEIR_TRUSTED_PROXIES": "none"},
        {"WEIR_BASE_URL": "http://127.0.0.1:8000"},
        {"WEIR_SERVICE_HOST": "10.1.2.3", "WEIR_PORT_8000_TCP_ADDR": "10.1.2.3", "WEIR_PORT": "tcp://10.1.2.3:8000"},
        {"WEIR_STOP_SECONDS": "330"},
        {"CELERY_BROKER_URL": "amqp://weir:word@rabbit.example.org:5672/weir"},
        {"REDIS_URL": "rediss://:word@cache.example.org:6380/3"},
        {"REDIS_URL": "unix:///run/redis.sock?db=1"},
        {"CELERY_BROKER_URL": "redis+socket:///run/redis.sock"},
        {"DATABASE_URL": "psql://weir@db/weir"},
        {"DATABASE_URL": "pgsql://weir@db/weir"},
        {"DATABASE_URL": "postgis://weir@db/weir"},
        {"DATABASE_URL": "postgres:///?service=weir"},
        {"DATABASE_URL": "postgres://weir:word@db1:5432,db2:5432/weir?target_session_attrs=read-write"},
        {"WEIR_CORS_ORIGINS": "capacitor://localhost,tauri://localhost,chrome-extension://abcdef,null,*"},
        # Kubernetes, of a service called weir-proxy and of weir-drain
        {"WEIR_PROXY_PORT": "tcp://10.1.2.3:80", "WEIR_PROXY_PORT_80_TCP_PORT": "80", "WEIR_PROXY_SERVICE_PORT": "80"},
        {"WEIR_DRAIN_PORT": "tcp://10.1.2.3:80", "WEIR_DRAIN_SERVICE_HOST": "10.1.2.3"},
    ],
)
def test_what_is_right_is_not(refusal, changes):
    assert refusal(**{**PRODUCTION, **changes}) == ""


def test_all_that_production_must_have_is_named_at_once(refusal):
    told = refusal(WEIR_PROFILE="production")
    assert [name for name in PRODUCTION if name not in told and name != "REDIS_URL"] == []


def test_several_things_that_are_wrong_are_told_in_one_line_without_a_secret(refusal):
    told = refusal(**{**PRODUCTION, "WEIR_SECRET_KEY": "canary-word", "WEIR_DEBUG": "1", "WEIR_ALLOWED_HOSTS": "*"})
    assert [name for name in ("WEIR_DEBUG", "WEIR_ALLOWED_HOSTS", "WEIR_SECRET_KEY") if name not in told] == []
    assert "canary-word" not in told


@pytest.mark.parametrize(
    "command",
    [["-m", "gateway_site.worker"], ["-m", "gateway_site.beat"], ["-m", "gateway_site.server"], ["manage.py", "check"]],
)
def test_every_process_says_it_in_one_line_and_ends(tmp_path: Path, command):
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "DJANGO_"))}
    surroundings |= {"WEIR_VAR": str(tmp_path), "WEIR_DRAIN_SECONDS": "soon"}
    ended = subprocess.run(
        [sys.executable, *command], cwd=tree.ROOT, env=surroundings, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.endswith(": WEIR_DRAIN_SECONDS must be a number of 0 or more.")
