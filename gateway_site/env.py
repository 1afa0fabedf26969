"""Typed reading of the environment. Every setting is declared, in words, below `gateway_site/declared`.

A secret named X may come from the variable X, from the file named by X_FILE, or, in the embedded profile only, from
a file under `var/` that is made at first start. `WEIR_PROFILE=production` refuses every embedded default.

What is wrong ends the start of whatever reads it, with one line that names the variable and the cure; only
`manage.py doctor` goes on, and tells all of it. What several settings contradict each other in: `refusals.py`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from gateway_site import declared

BASE_DIR = Path(__file__).resolve().parent.parent
_env = environ.Env()

PROFILE: str = _env.str("WEIR_PROFILE", "embedded")
if PROFILE not in ("embedded", "production"):
    raise ImproperlyConfigured(f"WEIR_PROFILE must be embedded or production, not {PROFILE!r}.")
PRODUCTION: bool = PROFILE == "production"
VAR_DIR = Path(_env.str("WEIR_VAR", str(BASE_DIR / "var")))
_ON, _OFF = frozenset({"on", "true", "yes", "y", "1", "ok"}), frozenset({"off", "false", "no", "n", "0"})
_LINK = re.compile(r"(WEIR_(?:\w+?_)??)(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)\w*)?)")
SECRET_FILES: dict[str, Path] = {}  # by variable, those that were read
_missing: dict[str, None] = {}  # in order; told all at once, by `missing`
SERVING: bool = False  # said by the server before settings are read: it needs what its role needs, and no more
EXAMINING: bool = False  # said by `manage.py doctor`: what is wrong is gathered, and ends nothing
PROBLEMS: list[str] = []
UNDER_MAKE: bool = "MAKELEVEL" in os.environ


def refuse(told: str) -> None:
    """Raises ImproperlyConfigured, unless all that is wrong is to be told."""
    if not EXAMINING:
        raise ImproperlyConfigured(told)
    PROBLEMS.append(told)


def refuse_all(found: Iterable[str]) -> None:
    """As `refuse`, of several, in one line."""
    told = list(found)
    if EXAMINING:
        PROBLEMS.extend(told)
    elif told:
        raise ImproperlyConfigured(" ".join(told))


def given() -> frozenset[str]:
    """The names of all variables that are set to something."""
    return frozenset(name for name, value in os.environ.items() if value)


def is_linked(variable: str) -> bool:
    """Whether Kubernetes or Docker says by it where a service called weir or weir-… is."""
    named = _LINK.fullmatch(variable)
    return named is not None and _env.str(f"{named[1]}PORT", "").startswith(("tcp://", "udp://"))


def _declared(name: str) -> str:
    """Raises ImproperlyConfigured for one that no page tells of."""
    if name not in declared.NAMES:
        raise ImproperlyConfigured(f"{name} is read, and declared nowhere below gateway_site/declared.")
    return name


def text(name: str, default: str) -> str:
    """A plain setting."""
    value: str = _env.str(_declared(name), "")
    return value or default


def address(name: str, default: str) -> str:
    """Of a store. It may hold a password, so it comes from NAME, or from the file named by NAME_FILE."""
    return _in_file(name) or text(name, "") or default


def broker(redis: str) -> str:
    """The one that goes with this Redis, which Celery calls otherwise where it is a socket; without one, a folder."""
    if not redis.startswith("unix://"):
        return redis or "filesystem://"
    place, _, query = redis.removeprefix("unix://").partition("?")
    return f"redis+socket://{place}" + (f"?{query.replace('db=', 'virtual_host=')}" if query else "")


def embedded(name: str, default: str) -> str:
    """An address whose default suits one machine only, so that production must name one."""
    value = address(name, "")
    if not value and PRODUCTION:
        _missing[f"{name} or {name}_FILE"] = None
    return value or default


def missing() -> list[str]:
    """After the last setting: one line of all that production must have and has not, or none."""
    named = ", ".join(_missing)
    return [f"WEIR_PROFILE=production also needs: {named}. See docs/production.md."] if named else []


def refuse_faults(armed: str, *, meant: bool) -> None:
    """Raises ImproperlyConfigured where people work, unless breaking this process is meant."""
    if armed and PRODUCTION and not meant:
        refuse("WEIR_FAILPOINT breaks this process on purpose; production needs WEIR_FAULTS=1 too.")


def number(name: str, default: float, *, least: float = 0.0) -> float:
    """Raises ImproperlyConfigured naming the variable, and its bound."""
    with contextlib.suppress(ValueError):
        given = float(text(name, str(default)))
        if least <= given and math.isfinite(given):
            return given
    refuse(f"{name} must be a number of {least:g} or more.")
    return default


def integer(name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    """Raises ImproperlyConfigured naming the variable, and its bounds."""
    with contextlib.suppress(ValueError):
        given = int(text(name, str(default)))
        if least <= given and (most is None or given <= most):
            return given
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
    refuse(f"{name} must be a whole number {bounds}.")
    return default


def choice(name: str, *options: str) -> str:
    """One of a few words, by default the first. Raises ImproperlyConfigured naming them."""
    given = text(name, options[0])
    if given not in options:
        refuse(f"{name} must be {' or '.join(options)}, not {given!r}.")
        return options[0]
    return given


def flag(name: str, default: bool) -> bool:
    """Raises ImproperlyConfigured for a word that says neither on nor off."""
    given = text(name, "").lower()
    if given and given not in _ON | _OFF:
        refuse(f"{name} must be on or off, not {given!r}.")
    return given in _ON if given in _ON | _OFF else default


def words(name: str, default: list[str]) -> list[str]:
    """A comma-separated list."""
    return [str(word) for word in _env.list(_declared(name), default=default)]


def networks(name: str) -> list[str]:
    """A list of CIDR ranges. Raises ImproperlyConfigured naming the one that is none."""
    given = words(name, [])
    for cidr in given:
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            refuse(f"{name} must be ranges such as 10.1.0.0/16, not {cidr!r}.")
    return given


def secret(name: str, *, required: bool = True) -> str:
    """A secret from NAME, NAME_FILE or, embedded, from a file of its own that is made once with mode 0600.

    One that is not required is empty when it is nowhere.
    """
    if value := _in_file(name) or text(name, ""):
        return value
    if PRODUCTION and required:
        _missing[f"{name} or {name}_FILE"] = None
        return ""
    own = VAR_DIR / "secrets" / name.lower()
    return _made_once(own) if required or (own.exists() and not PRODUCTION) else ""


def mail(url: str) -> dict[str, Any]:
    """Django's settings for a mail server such as `smtp+tls://user:password@mail.example:587`; without one, for a mail
    server on this machine. Raises ImproperlyConfigured."""
    if url and url.partition("://")[0] not in ("smtp", "smtp+tls", "smtp+ssl"):
        refuse("WEIR_EMAIL_URL must begin with smtp://, smtp+tls:// or smtp+ssl://.")
        url = ""
    try:
        return {"EMAIL_TIMEOUT": 10} | (dict(environ.Env.email_url_config(url)) if url else {})
    except ValueError:
        refuse("WEIR_EMAIL_URL must be like smtp+tls://user:password@mail.example:587.")
        return {}


def _in_file(name: str) -> str:
    """What is in the file that NAME_FILE names; empty when nothing names one."""
    path = _env.str(f"{name}_FILE", "")
    if not path:
        return ""
    if text(name, ""):
        refuse(f"{name} and {name}_FILE are both set: unset one.")
    SECRET_FILES[f"{name}_FILE"] = Path(path)
    return _read(Path(path), variable=f"{name}_FILE")


def _read(path: Path, *, variable: str) -> str:
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        refuse(f"{variable}: {path} cannot be read: {reason}.")
        return ""
    if not found:
        refuse(f"{variable}: {path} is empty: put the value in it.")
    return found


def private_folder(path: Path) -> Path:
    """Makes it for its owner's eyes. One that is there is closed too, except in production, where somebody chose."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ImproperlyConfigured(f"WEIR_VAR: {path} cannot be made: {error.strerror}.") from None
    if not PRODUCTION and path.stat().st_mode & 0o077 and path.stat().st_uid == os.geteuid():
        path.chmod(0o700)
    return path


def _made_once(path: Path) -> str:
    private_folder(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        value = secrets.token_urlsafe(48)
        file.write(value)
    return value
