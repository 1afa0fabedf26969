"""`var/demo.json`: what a person or a program needs to use the demo. For its owner's eyes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gateway_site import env

PATH = env.VAR_DIR / "demo.json"
KEYS = (
    "base_url",
    "api_key",
    "admin_url",
    "admin_user",
    "admin_password",
    "developer_user",
    "developer_password",
)


def read() -> dict[str, str] | None:
    """None: there is none, or it is not whole."""
    try:
        card: dict[str, str] = json.loads(PATH.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if all(card.get(key) for key in KEYS) else None


def write(card: dict[str, str], *, base_url: str) -> dict[str, str]:
    """The card as it then stands: with the addresses of this start. Nothing is written if nothing has changed."""
    current = {key: card.get(key, "") for key in KEYS} | {"base_url": base_url, "admin_url": f"{base_url}/admin/"}
    if current != read():
        write_private(PATH, json.dumps(current, indent=2) + "\n")
    return current


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and with mode 0600 from its first byte."""
    unseen = path.with_name(f".{path.name}")
    unseen.unlink(missing_ok=True)
    with os.fdopen(os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unseen.replace(path)
