"""A keyring that HashiCorp Vault (or OpenBao) keeps: its transit engine seals, and the key never leaves it.

`vault:https://vault.example.org:8200/transit/weir`: origin, the engine's mount, the key's name; `?namespace=` where
there are some. The key's type is an AEAD one (aes256-gcm96 by default), its versions are the keyring's. API:
https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from django.conf import settings

from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable, Wrapped
from apps.outbound.authority import Authority, AuthorityUnreachable

# What Vault says of a text: no such text, damaged or of another place, of a version that is no longer allowed.
_DOES_NOT_OPEN = ("invalid ciphertext", "message authentication failed", "disallowed by policy")


class TransitKeyring:
    def __init__(self, authority: Authority, *, mount: str, name: str, namespace: str = "") -> None:
        self._authority = authority
        self._mount = quote(mount)
        self._name = quote(name, safe="")
        self._namespace = namespace

    def versions(self) -> frozenset[int]:
        """Vault's own `min_decryption_version` counts."""
        key = self._ask("GET", "keys")
        return frozenset(range(int(key["min_decryption_version"]), int(key["latest_version"]) + 1))

    def active(self) -> int:
        return int(self._ask("GET", "keys")["latest_version"])

    def wrap(self, key: bytes, *, context: bytes) -> Wrapped:
        answer = self._ask("POST", "encrypt", plaintext=_base64(key), associated_data=_base64(context))
        text = str(answer["ciphertext"])
        return Wrapped(int(text.split(":")[1].removeprefix("v")), text)

    def unwrap(self, text: str, *, version: int, context: bytes) -> bytes:
        answer = self._ask("POST", "decrypt", ciphertext=text, associated_data=_base64(context))
        return base64.b64decode(answer["plaintext"])

    def _ask(self, method: str, verb: str, **values: str) -> dict[str, Any]:
        headers = {"x-vault-token": _token(), "x-vault-request": "true", "content-type": "application/json"}
        if self._namespace:
            headers["x-vault-namespace"] = self._namespace
        body = json.dumps(values).encode() if values else b""
        path = f"/v1/{self._mount}/{verb}/{self._name}"
        try:
            status, answer = self._authority.ask(method, path, headers=headers, body=body)
        except AuthorityUnreachable as error:
            raise KeyringUnavailable(f"WEIR_KEYRING: Vault does not answer ({error}).") from None
        if verb == "decrypt" and status == 400 and _says_of_the_text(answer):
            raise KeyringRefused("WEIR_KEYRING: Vault does not open this.")
        if status != 200:
            raise KeyringUnavailable(f"WEIR_KEYRING: Vault at {self._authority.host} says {status} to {verb}.")
        try:
            found: dict[str, Any] = json.loads(answer)["data"]
        except (ValueError, KeyError, TypeError):
            raise KeyringUnavailable(f"WEIR_KEYRING: {self._authority.host} does not speak as Vault does.") from None
        return found


def read(address: str) -> TransitKeyring:
    """`address` is what follows `vault:`. Raises KeyringRefused."""
    parts = urlsplit(address)
    mount, _, name = parts.path.strip("/").rpartition("/")
    if not mount or not name:
        raise KeyringRefused(
            "WEIR_KEYRING: vault: needs a mount and a key, as in vault:https://host:8200/transit/weir."
        )
    try:
        authority = Authority(f"{parts.scheme}://{parts.netloc}")
    except ValueError as error:
        raise KeyringRefused(f"WEIR_KEYRING: {error}.") from None
    namespace = parse_qs(parts.query).get("namespace", [""])[0]
    return TransitKeyring(authority, mount=mount, name=name, namespace=namespace)


def _says_of_the_text(answer: bytes) -> bool:
    """Whether a 400 is about what was to be decrypted. Vault gives it for a missing token or key too."""
    try:
        told = " ".join(map(str, json.loads(answer)["errors"]))
    except (ValueError, KeyError, TypeError):
        return False
    return any(words in told for words in _DOES_NOT_OPEN)


def _token() -> str:
    """Read for every question: an agent that renews tokens empties the file and writes it anew."""
    if path := settings.WEIR_VAULT_TOKEN_FILE:
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise KeyringUnavailable(f"WEIR_VAULT_TOKEN_FILE cannot be read ({type(error).__name__}).") from None
        if not token:
            raise KeyringUnavailable("WEIR_VAULT_TOKEN_FILE is empty.")
        return token
    if not settings.WEIR_VAULT_TOKEN:
        raise KeyringUnavailable("WEIR_KEYRING: Vault wants a token: set WEIR_VAULT_TOKEN or WEIR_VAULT_TOKEN_FILE.")
    return str(settings.WEIR_VAULT_TOKEN)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
