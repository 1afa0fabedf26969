"""`check --deploy` is content with a production installation, and names what is wrong with another. What is graver ends
every process, the check too: tests/house/test_refusals.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from apps.catalog import checks as of_the_catalog
from apps.catalog import services as catalog
from gateway_site import checks, env, mounts
from tests.servers import ROOT

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
    "WEIR_JOURNAL_DIR": str(ROOT),
}


def check(folder: Path, **changes: str) -> tuple[int, set[str]]:
    """Exit status, and the ids of what was found."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    variables = plain | PRODUCTION | {"WEIR_VAR": str(folder)} | changes
    variables["DJANGO_SETTINGS_MODULE"] = "gateway_site.settings"
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)
    return ended.returncode, set(re.findall(r"\((\w+\.[EW]\d+)\)", ended.stderr))


def test_a_production_installation_is_clean(tmp_path):
    assert check(tmp_path) == (0, set())


def test_without_proxies_somebody_has_to_say_how_many_connections_an_address_has(tmp_path):
    assert check(tmp_path, WEIR_TRUSTED_PROXIES="none") == (1, {"weir.W027"})
    assert check(tmp_path, WEIR_TRUSTED_PROXIES="none", WEIR_MAX_CONNECTIONS_PER_ADDRESS="0") == (0, set())


def test_everything_that_is_wrong_is_named(tmp_path):
    loose = tmp_path / "token"
    loose.write_text("U1eXoR3iTqWb5KzNyVhkAq7Zr2xP0vLw9YtB-operator")
    loose.chmod(0o644)
    wrong = {"WEIR_OPERATOR_TOKEN": "", "WEIR_OPERATOR_TOKEN_FILE": str(loose), "REDIS_URL": ""}
    wrong |= {"WEIR_HSTS_SECONDS": "0", "WEIR_SSL_REDIRECT": "0", "WEIR_OF_OLD": "1", "WEIR_PORT": "tcp://10.1.2.3:80"}
    wrong |= {"WEIR_QDRANT_URL": "http://qdrant.example.org", "WEIR_QDRANT_API_KEY": "key"}
    wrong |= {"WEIR_ROLE": "all", "WEIR_TRUSTED_PROXIES": "*", "WEIR_PRIVATE_NETWORKS": "10.1.0.0/16,127.0.0.0/8"}
    wrong |= {"WEIR_FAULTS": "1", "WEIR_FAILPOINT": "relay.begun:kill"}
    status, found = check(tmp_path, **wrong)
    assert status == 1
    of_ours = {f"weir.{name}" for name in ("E012", "W014", "W015", "W019", "W022", "E023", "W024", "E025")}
    assert found == of_ours | {"security.W004", "security.W008"}


ASK = """
import django
django.setup()
from django.conf import settings
from django.test import Client
for path in ("/metrics", "/config"):
    asked = {"HTTP_HOST": "weir.example.org", "HTTP_AUTHORIZATION": f"Bearer {settings.WEIR_OPERATOR_TOKEN}"}
    print(Client().get(path, **asked).status_code)
"""


def test_prometheus_may_ask_a_process_itself_without_tls(tmp_path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    variables = plain | PRODUCTION | {"WEIR_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "gateway_site.settings"}
    told = subprocess.check_output([sys.executable, "-c", ASK], cwd=ROOT, env=variables, text=True, timeout=60)
    assert told.split() == ["200", "301"]


def test_the_embedded_profile_is_not_for_deployment(tmp_path):
    """Nor are settings of Django's named that nobody can set."""
    assert check(tmp_path, WEIR_PROFILE="embedded") == (1, {"weir.E010"})


def test_a_host_that_is_not_named_is_an_error(settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert [message.id for message in checks.allowed_hosts()] == ["weir.E011"]


def test_a_keyring_that_is_missing_or_open_to_others_is_refused(tmp_path):
    assert check(tmp_path, WEIR_KEYRING="")[0] == 1
    path = tmp_path / "keyring"
    path.write_text(PRODUCTION["WEIR_KEYRING"])
    path.chmod(0o640)
    assert check(tmp_path, WEIR_KEYRING=f"file:{path}")[0] == 1
    path.chmod(0o600)
    assert check(tmp_path, WEIR_KEYRING=f"file:{path}") == (0, set())


def test_a_file_keyring_that_repeats_another_secret_is_told(tmp_path, settings):
    path = tmp_path / "keyring"
    path.touch(0o600)
    path.write_text(f"1:{settings.SECRET_KEY}")
    settings.WEIR_KEYRING = f"file:{path}"
    assert [message.id for message in of_the_catalog.check_keyring_is_its_own()] == ["weir.E002"]
    path.write_text("1:a-value-of-its-own")
    assert of_the_catalog.check_keyring_is_its_own() == []


MOUNTS = r"""
/dev/vda / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
tmpfs /mnt/with\040space tmpfs rw 0 0
/dev/vdb /run/weir xfs rw 0 0
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        *(("/", "ext4"), ("/srv/weir", "ext4"), ("/running", "ext4"), ("/run/journal", "tmpfs")),
        *(("/run/weir/journal", "xfs"), ("/mnt/with space/x", "tmpfs")),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(tmp_path, folder, kind):
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert mounts.file_system(Path(folder), mounts=table) == kind
    assert mounts.file_system(Path(folder), mounts=tmp_path / "none") == ""


@pytest.mark.parametrize(("durability", "told"), [("process", "weir.W013"), ("power", "weir.E013")])
def test_a_journal_in_memory_is_told(tmp_path, settings, monkeypatch, durability, told):
    table = tmp_path / "mounts"
    table.write_text(f"/dev/vda / ext4 rw 0 0\ntmpfs {tmp_path} tmpfs rw 0 0\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    settings.WEIR_DURABILITY, settings.WEIR_JOURNAL_DIR = durability, "/srv/journal"
    assert not [message for message in checks.durability() if "journal" in message.msg]
    settings.WEIR_JOURNAL_DIR = str(tmp_path / "journal")
    assert told in {message.id for message in checks.durability()}


def test_a_secrets_file_may_be_its_groups_but_not_everybodys(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.touch(0o600)
    monkeypatch.setattr(env, "SECRET_FILES", {"WEIR_KEYRING_FILE": path})
    path.chmod(0o440)
    assert checks.secret_files() == []
    path.chmod(0o444)
    assert [message.id for message in checks.secret_files()] == ["weir.E012"]


POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "HOST": "db.example.org"}


def ids(check) -> list[str]:
    return [message.id for message in check()]


@pytest.mark.parametrize(
    ("name", "value", "check", "told"),
    [
        ("MIDDLEWARE", [], checks.pages, "weir.E020"),
        ("SESSION_COOKIE_HTTPONLY", False, checks.pages, "weir.E021"),
        ("SESSION_COOKIE_SAMESITE", "None", checks.pages, "weir.E021"),
        ("WEIR_TRUSTED_PROXIES", ["10.0.0.0/8", "0.0.0.0/0"], checks.proxies, "weir.E023"),
        ("WEIR_TRUSTED_PROXIES", ["0.0.0.0/1", "10.0.0.7"], checks.proxies, "weir.E023"),
        ("WEIR_TRUSTED_PROXIES", ["2000::/3"], checks.proxies, "weir.E023"),
        ("WEIR_MAX_CONNECTIONS", 0, checks.bounds, "weir.W028"),
        ("WEIR_MIN_BYTES_PER_SECOND", 0, checks.bounds, "weir.W028"),
        ("WEIR_HEADER_SECONDS", 99999.0, checks.bounds, "weir.W028"),
        ("WEIR_BODY_SECONDS", 99999.0, checks.bounds, "weir.W028"),
        ("WEIR_STALL_SECONDS", 99999.0, checks.bounds, "weir.W028"),
        ("WEIR_MAX_HEADER_BYTES", 99_999_999, checks.bounds, "weir.W028"),
        ("WEIR_SECOND_WALL", False, checks.walls, "weir.W029"),
        ("REDIS_URL", "redis://cache.example.org/0", checks.links, "weir.I030"),
        ("CELERY_BROKER_URL", "amqp://broker.example.org", checks.links, "weir.I030"),
        ("WEIR_REQUIRE_TOTP", "nobody", checks.second_factors, "weir.I031"),
        ("WEIR_PRIVATE_NETWORKS", ["169.254.0.0/16"], checks.networks, "weir.W024"),
        ("WEIR_PRIVATE_NETWORKS", ["127.0.0.0/31"], checks.networks, "weir.W024"),
        ("WEIR_PRIVATE_NETWORKS", ["169.254.169.254/32"], checks.networks, "weir.W024"),
        ("WEIR_FETCH_NETWORKS", ["127.0.0.1/32"], checks.networks, "weir.W024"),
        ("WEIR_FETCH_NETWORKS", ["::1/128"], checks.networks, "weir.W024"),
        ("WEIR_FETCH_NETWORKS", ["::/0"], checks.networks, "weir.W024"),
        ("WEIR_FETCH_NETWORKS", ["8.0.0.0/6"], checks.networks, "weir.W024"),
    ],
)
def test_a_weaker_setting_is_told(settings, monkeypatch, name, value, check, told):
    monkeypatch.setattr(env, "PRODUCTION", True)
    monkeypatch.setitem(settings.DATABASES, "default", POSTGRESQL | {"OPTIONS": {"sslmode": "verify-full"}})
    settings.REDIS_URL, settings.CELERY_BROKER_URL = "rediss://cache.example.org/0", "redis://localhost/1"
    settings.WEIR_REQUIRE_TOTP = "staff"
    settings.WEIR_PRIVATE_NETWORKS = ["10.0.0.0/8", "192.168.7.0/24", "fd00::/8", "127.0.0.1/32", "::1/128"]
    settings.WEIR_TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert ids(check) == []
    setattr(settings, name, value)
    assert ids(check) == [told]


@pytest.mark.parametrize(
    ("host", "options", "told"),
    [
        ("db.example.org", {}, ["weir.I030"]),
        ("db.example.org", {"sslmode": "prefer"}, ["weir.I030"]),
        ("db.example.org", {"sslmode": "require"}, []),
        ("127.0.0.1", {}, []),
        ("/run/postgresql", {}, []),
        ("", {"service": "weir"}, []),
    ],
)
def test_a_database_that_is_asked_in_the_clear_is_told(settings, monkeypatch, host, options, told):
    settings.REDIS_URL = settings.CELERY_BROKER_URL = ""
    monkeypatch.setitem(settings.DATABASES, "default", POSTGRESQL | {"HOST": host, "OPTIONS": options})
    assert ids(checks.links) == told


@pytest.mark.django_db
def test_a_simulated_provider_of_a_production_is_told():
    assert of_the_catalog.check_providers(databases=["default"]) == []
    catalog.allow_network(actor=None, cidr="127.0.0.0/8")
    row = {"vendor": "simulated", "protocol": "anthropic_messages", "base_url": "http://127.0.0.1:9"}
    provider = catalog.create_provider(actor=None, name="Not real", **row)
    (told,) = of_the_catalog.check_providers(databases=["default"])
    assert (told.id, "Not real" in told.msg) == ("weir.W026", True)
    assert of_the_catalog.check_providers() == []
    catalog.update_provider(provider, actor=None, is_enabled=False)
    assert of_the_catalog.check_providers(databases=["default"]) == []
