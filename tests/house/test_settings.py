"""The settings as a process meets them: each case in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gateway_site import env
from tests.architecture import tree

SHOW = """
import json
from django.conf import settings
print(json.dumps([settings.DATABASES["default"], settings.WEIR_DURABILITY]))
"""


def start(folder, program: str = SHOW, **variables: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "DATABASE_"))}
    surroundings |= {"WEIR_VAR": str(folder), "DJANGO_SETTINGS_MODULE": "gateway_site.settings", **variables}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=tree.ROOT, env=surroundings, capture_output=True, text=True, timeout=60)


def database(folder, **variables: str) -> dict:
    return json.loads(start(folder, **variables).stdout)[0]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WEIR_DURABILITY", "fast", "WEIR_DURABILITY must be process or power, not 'fast'."),
        ("WEIR_PROFILE", "prod", "WEIR_PROFILE must be embedded or production, not 'prod'."),
        ("WEIR_DRAIN_SECONDS", "soon", "WEIR_DRAIN_SECONDS must be a number of 0 or more."),
        (
            "WEIR_FETCH_NETWORKS",
            "10.0.0.0/8,home",
            "WEIR_FETCH_NETWORKS must be ranges such as 10.1.0.0/16, not 'home'.",
        ),
        ("WEIR_KEY_CACHE", "-1", "WEIR_KEY_CACHE must be a whole number of 0 or more."),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(tmp_path, name, value, told):
    ended = start(tmp_path, **{name: value})
    assert ended.returncode == 1
    assert ended.stderr.rstrip().endswith(told)


@pytest.mark.parametrize(("value", "synchronous"), [("process", "NORMAL"), ("power", "FULL")])
def test_durability_is_that_of_the_database_in_a_file(tmp_path, value, synchronous):
    assert f"synchronous={synchronous};" in database(tmp_path, WEIR_DURABILITY=value)["OPTIONS"]["init_command"]


def test_what_the_database_url_says_of_the_connection_is_kept(tmp_path):
    given = database(tmp_path, DATABASE_URL="postgres://u:p@h/n?sslmode=verify-full&connect_timeout=3&conn_max_age=0")
    assert given["CONN_MAX_AGE"] == 0
    assert given["OPTIONS"] == {
        "sslmode": "verify-full",
        "connect_timeout": 3,
        "tcp_user_timeout": 10_000,
        "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s -c random_page_cost=1.1",
    }


def test_limits_of_statements_can_be_left_to_the_server(tmp_path):
    given = database(tmp_path, DATABASE_URL="postgres://u:p@h/n", WEIR_STATEMENT_SECONDS="0")
    assert "options" not in given["OPTIONS"]


@pytest.mark.parametrize("command", [["-m", "gateway_site.server"], ["manage.py", "migrate"]])
def test_all_that_production_lacks_is_named_at_once_and_without_a_traceback(tmp_path, command):
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "DATABASE_"))}
    surroundings |= {
        "WEIR_VAR": str(tmp_path),
        "WEIR_PROFILE": "production",
        "WEIR_KEYRING": "a-keyring-of-24-letters!",
    }
    surroundings.pop("DJANGO_SETTINGS_MODULE", None)
    ended = subprocess.run(
        [sys.executable, *command], cwd=tree.ROOT, env=surroundings, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "WEIR_SECRET_KEY or WEIR_SECRET_KEY_FILE, DATABASE_URL or DATABASE_URL_FILE, WEIR_OPERATOR" in line
    assert "WEIR_KEYRING" not in line


def test_a_secrets_file_that_is_not_there_is_named(tmp_path):
    ended = start(tmp_path, WEIR_SECRET_KEY_FILE=str(tmp_path / "gone"))
    assert ended.returncode == 1
    told = f"WEIR_SECRET_KEY_FILE: {tmp_path / 'gone'} cannot be read: No such file or directory."
    assert ended.stderr.rstrip().endswith(told)


def test_the_broker_of_a_redis_at_a_socket_is_called_as_celery_calls_it():
    assert env.broker("unix://:p@/run/redis.sock?db=1") == "redis+socket://:p@/run/redis.sock?virtual_host=1"
    assert [env.broker(one) for one in ("redis://h/0", "")] == ["redis://h/0", "filesystem://"]


def test_the_address_of_a_store_may_lie_in_a_file_for_its_password(tmp_path):
    files = {name: tmp_path / name for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")}
    for name, told in zip(files, ("postgres://u:p@h/n", "redis://:p@h/0", "amqp://u:p@h//"), strict=True):
        files[name].write_text(f"{told}\n")
    program = (
        "from django.conf import settings as s; print(s.DATABASES['default']['PASSWORD'], s.REDIS_URL,"
        " s.CELERY_BROKER_URL, s.CHANNEL_LAYERS['default']['CONFIG']['hosts'][0])"
    )
    ended = start(tmp_path, program, **{f"{name}_FILE": str(path) for name, path in files.items()})
    assert ended.stdout.split() == ["p", "redis://:p@h/0", "amqp://u:p@h//", "redis://:p@h/0"], ended.stderr
