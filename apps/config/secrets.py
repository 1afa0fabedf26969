"""Secrets that a text names and never holds: `kept`, `env:NAME`, `file:/path`."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apps.catalog import vault
from apps.catalog.places import place_of
from apps.catalog.vault import Place
from apps.config.fields import Field

KEPT = "kept"
LARGEST = 65_536
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HOW = f"a secret is never written here: say {KEPT}, env:NAME or file:/path"


class Source:
    """Where references are read. Without an `environment`, as for whoever is not at this machine, only `kept` is."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment

    def read(self, reference: str) -> str:
        """Raises ValueError, which repeats nothing that could be a secret."""
        scheme, colon, rest = reference.partition(":")
        if not colon or scheme not in ("env", "file") or not rest:
            raise ValueError(HOW)
        if self._environment is None:
            raise ValueError("a secret is read where Weir runs: bring the configuration in there")
        return self._variable(rest, self._environment) if scheme == "env" else _content(Path(rest))

    def _variable(self, name: str, environment: Mapping[str, str]) -> str:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(HOW)
        if not (value := environment.get(name, "").strip()):
            raise ValueError(f"the variable {name} is not set")
        return value


def _content(path: Path) -> str:
    if not path.is_absolute():
        raise ValueError("a file is named by its whole path: file:/path")
    try:
        with path.open(encoding="ascii") as file:
            found = file.read(LARGEST).strip()
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{path} cannot be read: {told}") from None
    if not found:
        raise ValueError(f"{path} is empty")
    return found


class Secret(Field):
    """`kept` is whatever there is, also nothing. Any other is set where it is not the one that is there."""

    def __init__(self, source: Source, *, sealed: str = "ciphertext", place: Callable[[Any], Place] = place_of) -> None:
        """`sealed`: its column; `place`: where that opens."""
        super().__init__(str)
        self.source, self.sealed, self.place = source, sealed, place

    def get(self, row: Any) -> str:
        return KEPT

    def parse(self, value: Any) -> str | None:
        """The secret itself; None: kept."""
        found = super().parse(value) if isinstance(value, str) else ""
        return None if found == KEPT else self.source.read(found)

    def differs(self, row: Any, value: str | None) -> bool:
        if value is None:
            return False
        try:
            kept = getattr(row, self.sealed)
            present = vault.open_one(kept, place=self.place(row)) if kept else ""
        except vault.SecretUnreadable:
            present = ""
        return not hmac.compare_digest(present.encode(), value.encode())

    def lacks(self, value: str | None) -> bool:
        return value is None

    def told(self, value: Any) -> str:
        return "as it is" if value in (None, KEPT) else "the one that is named"
