"""What Django's own `check --deploy` does not know about an installation of Weir."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError

from apps.outbound.vectors import is_installed
from apps.policies import selectors as policies
from gateway_site import declared, env, mounts

# What Kubernetes and Docker put beside a service called weir; what images say to their own start.
_LINKED = re.compile(r"WEIR_(\w+_)?(SERVICE_(HOST|PORT)|PORT(_\d+_(TCP|UDP)\w*)?|HOST|TEST_\w+)")
_NO_QDRANT = "there is no qdrant-client: pip install --requirement requirements/semantic.txt."


def register() -> None:
    for check in (profile, allowed_hosts, secret_files, durability, several, strangers, qdrant_key):
        checks.register(check, checks.Tags.security, deploy=True)
    checks.register(qdrant)
    checks.register(questions, checks.Tags.database)


def profile(**_: Any) -> list[checks.CheckMessage]:
    """The embedded profile makes up what is not set: secrets under `var/`, any host, plain cookies."""
    if env.PRODUCTION:
        return []
    return [checks.Error("This is the embedded profile: set WEIR_PROFILE=production.", id="weir.E010")]


def allowed_hosts(**_: Any) -> list[checks.CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [checks.Error("WEIR_ALLOWED_HOSTS admits every host: name yours.", id="weir.E011")]


def secret_files(**_: Any) -> list[checks.CheckMessage]:
    """A group may read them, as mounted secrets often need; everybody may not."""
    found: list[checks.CheckMessage] = []
    for name, path in sorted(env.SECRET_FILES.items()):
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            found.append(checks.Error(f"{name}: everybody on this host may use {path}.", id="weir.E012"))
    return found


def durability(**_: Any) -> list[checks.CheckMessage]:
    """What must survive a process, and by WEIR_DURABILITY=power a power cut, does not lie in memory."""
    found: list[checks.CheckMessage] = []
    for folder in sorted({settings.WEIR_JOURNAL_DIR, *_database_folders()}):
        if kind := mounts.in_memory(folder):
            told = f"{folder} lies in memory ({kind}): what is written there is gone when the host or container goes."
            grave = settings.WEIR_DURABILITY == "power"
            found.append(checks.Error(told, id="weir.E013") if grave else checks.Warning(told, id="weir.W013"))
    return found


def several(**_: Any) -> list[checks.CheckMessage]:
    if not env.PRODUCTION or settings.REDIS_URL:
        return []
    told = "REDIS_URL is empty: one gateway process may run, and no more."
    return [checks.Warning(told, id="weir.W014")]


def strangers(**_: Any) -> list[checks.CheckMessage]:
    """Whoever means a setting may have misspelt it; names that are nearly ours end the start."""
    known = declared.NAMES | {f"{name}_FILE" for name in declared.NAMES}
    names = sorted(name for name in env.given() - known if name.startswith("WEIR_") and not _LINKED.match(name))
    return [checks.Warning(f"{name} is no setting of Weir's: nobody reads it.", id="weir.W019") for name in names]


def qdrant_key(**_: Any) -> list[checks.CheckMessage]:
    if not settings.WEIR_QDRANT_API_KEY or not settings.WEIR_QDRANT_URL.startswith("http://"):
        return []
    told = "WEIR_QDRANT_API_KEY is sent in the clear: WEIR_QDRANT_URL should be https."
    return [checks.Warning(told, id="weir.W015")]


def qdrant(**_: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    if settings.WEIR_QDRANT_URL and not is_installed():
        found.append(checks.Error(f"WEIR_QDRANT_URL is set, and {_NO_QDRANT}", id="weir.E016"))
    if settings.WEIR_QDRANT_URL and not settings.WEIR_QDRANT_URL.startswith(("http://", "https://")):
        found.append(checks.Error("WEIR_QDRANT_URL must begin with http:// or https://.", id="weir.E017"))
    return found


def questions(*, databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """With `--database`: whether policies ask for what is not installed."""
    if not databases or is_installed():
        return []
    try:
        is_wanted = policies.compares_questions()
    except DatabaseError:  # not migrated yet
        return []
    told = f"A cache policy compares questions, and {_NO_QDRANT} Its calls go on, uncompared."
    return [checks.Warning(told, id="weir.W018")] if is_wanted else []


def _database_folders() -> list[str]:
    database = settings.DATABASES["default"]
    return [str(Path(database["NAME"]).parent)] if database["ENGINE"].endswith("sqlite3") else []
