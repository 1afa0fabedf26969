"""Settings, and what Django's own checks say of them; files that hold secrets."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks

from apps.status.doctor.findings import Finding, fine, problem, warning

_ABOUT = "configuration"
_IS_OWN = "weir.E010"  # that the embedded profile is one


def examine() -> Iterator[Finding]:
    yield from _settings()
    yield from _secret_files()
    yield from _static_files()


def _settings() -> Iterator[Finding]:
    found = [*settings.WEIR_PROBLEMS]
    for told in found:
        yield problem(_ABOUT, told, "Nothing starts until then; docs/configuration.md tells of every setting.")
    is_production = not settings.WEIR_EMBEDDED
    for message in checks.run_checks(include_deployment_checks=is_production):
        if message.is_silenced() or message.id == _IS_OWN or str(message.id).startswith("models."):
            continue
        make = problem if message.is_serious() else warning
        cure = str(message.hint or "See docs/configuration.md.").replace("\n", " ")
        yield make(_ABOUT, f"{str(message.msg).splitlines()[0]} ({message.id})", cure)
        found.append(message.msg)
    if not found:
        profile = "production" if is_production else "embedded"
        yield fine(_ABOUT, f"the settings of the {profile} profile make sense")
    if settings.WEIR_EMBEDDED:
        yield fine(_ABOUT, "this is the embedded profile, for one machine: WEIR_PROFILE=production is for others")


def _secret_files() -> Iterator[Finding]:
    own = Path(settings.VAR_DIR) / "secrets"
    files = {**settings.WEIR_SECRET_FILES, **({str(path): path for path in own.iterdir()} if own.is_dir() else {})}
    is_fine = True
    for name, path in sorted(files.items()):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # told as a setting
        if mode & 0o027:
            is_fine = False
            who = "everybody on this host" if mode & 0o007 else "its group, which may write it,"
            yield problem(_ABOUT, f"{name}: {who} may use {path}", f"chmod {mode & 0o750:o} {path}")
        elif mode & 0o040:
            is_fine = False
            told = f"{name}: its group may read {path}"
            yield warning(_ABOUT, told, f"chmod {mode & 0o700:o} {path}, unless the group is Weir's own.")
    if files and is_fine:
        yield fine(_ABOUT, f"{len(files)} files of secrets are for their owner alone")


def _static_files() -> Iterator[Finding]:
    if settings.WHITENOISE_USE_FINDERS or settings.WEIR_ROLE == "gateway":
        return
    if any(Path(settings.STATIC_ROOT).glob("portal/*.css")):
        yield fine(_ABOUT, "the pages' static files are collected")
    else:
        told = f"no static files in {settings.STATIC_ROOT}: pages have no looks"
        yield problem(_ABOUT, told, "manage.py collectstatic --noinput, on every host with a control process.")
