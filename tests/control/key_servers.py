"""Servers that keep keyrings, on real sockets: as much of Vault's transit engine and of AWS KMS as Weir speaks.

Written from the vendors' API documents, not from our client. Both really seal, check who asks, and refuse as the
real ones do. `down` makes them answer as one that cannot help; `hang` not at all.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Reply = tuple[int, dict[str, Any]]


class KeyServer:
    """`answer` of a subclass gets method, path, headers in lower case, body. A context manager."""

    content_type = "application/json"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.down = 0
        self.hang = threading.Event()
        self.hang.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((self.command, self.path))
                server.hang.wait(30)
                status, value = server.down, {"errors": ["Vault is sealed"]}
                if not status:
                    status, value = server.answer(self.command, self.path, headers, body)
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", server.content_type)
                self.send_header("content-length", str(len(content)))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # given up
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = _serve

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Vault(KeyServer):
    """One transit key. Texts are `vault:v<version>:<base64 of nonce and ciphertext>`."""

    def __init__(self, *, mount: str = "transit", name: str = "weir", token: str = "hvs.token") -> None:
        self.mount, self.name, self.token, self.namespace = mount, name, token, ""
        self.keys = {1: secrets.token_bytes(32)}
        self.min_decryption_version = 1
        super().__init__()

    def rotate(self) -> None:
        self.keys[max(self.keys) + 1] = secrets.token_bytes(32)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if not headers.get("x-vault-token"):
            return 400, {"errors": ["missing client token"]}
        if headers.get("x-vault-token") != self.token or headers.get("x-vault-namespace", "") != self.namespace:
            return 403, {"errors": ["permission denied"]}
        verbs: dict[tuple[str, str], Callable[[dict[str, str]], Reply]] = {
            ("GET", "keys"): self._read,
            ("POST", "encrypt"): self._encrypt,
            ("POST", "decrypt"): self._decrypt,
        }
        root, _, rest = unquote(path).removeprefix("/v1/").partition(self.mount + "/")
        verb, _, name = rest.partition("/")
        if root or (method, verb) not in verbs:
            return 404, {"errors": [f'no handler for route "{path}"']}
        if name != self.name:
            return (404, {"errors": []}) if verb == "keys" else (400, {"errors": ["encryption key not found"]})
        return verbs[method, verb](json.loads(body or b"{}"))

    def _read(self, _: dict[str, str]) -> Reply:
        return _told(
            {
                "type": "aes256-gcm96",
                "name": self.name,
                "latest_version": max(self.keys),
                "min_decryption_version": self.min_decryption_version,
                "min_encryption_version": 0,
                "keys": {str(version): 1_700_000_000 for version in self.keys},
                "supports_encryption": True,
                "supports_decryption": True,
                "exportable": False,
            }
        )

    def _encrypt(self, values: dict[str, str]) -> Reply:
        version, nonce = max(self.keys), secrets.token_bytes(12)
        data = base64.b64decode(values.get("associated_data", ""))
        sealed = nonce + AESGCM(self.keys[version]).encrypt(nonce, base64.b64decode(values["plaintext"]), data)
        text = f"vault:v{version}:{base64.b64encode(sealed).decode()}"
        return _told({"ciphertext": text, "key_version": version})

    def _decrypt(self, values: dict[str, str]) -> Reply:
        try:
            prefix, number, text = values["ciphertext"].split(":")
            version, sealed = int(number.removeprefix("v")), base64.b64decode(text, validate=True)
        except ValueError:
            return 400, {"errors": ["invalid ciphertext: could not decode base64"]}
        if prefix != "vault" or version not in self.keys:
            return 400, {"errors": ["invalid ciphertext: no prefix"]}
        if version < self.min_decryption_version:
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        data = base64.b64decode(values.get("associated_data", ""))
        try:
            plaintext = AESGCM(self.keys[version]).decrypt(sealed[:12], sealed[12:], data)
        except InvalidTag:
            return 400, {"errors": ["cipher: message authentication failed"]}
        return _told({"plaintext": base64.b64encode(plaintext).decode()})


class Kms(KeyServer):
    """Keys by id. Every request must bear a true signature, version 4, of `access` and `secret`."""

    content_type = "application/x-amz-json-1.1"

    def __init__(self, *names: str, access: str = "AKIDEXAMPLE", secret: str = "wJalrXUtnFEMI") -> None:
        self.keys = {name: secrets.token_bytes(32) for name in names}
        self.access, self.secret, self.denied = access, secret, ""
        super().__init__()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if not self._is_signed(method, path, headers, body):
            return 403, {"__type": "InvalidSignatureException", "message": "The signature does not match."}
        if self.denied:
            return 400, {"__type": f"com.amazonaws.kms#{self.denied}"}
        values = json.loads(body)
        if headers["content-type"] != self.content_type or values["KeyId"] not in self.keys:
            return 400, {"__type": "NotFoundException"}
        context = json.dumps(values.get("EncryptionContext", {}), sort_keys=True).encode()
        cipher = AESGCM(self.keys[values["KeyId"]])
        if headers["x-amz-target"] == "TrentService.Encrypt":
            nonce = secrets.token_bytes(12)
            sealed = nonce + cipher.encrypt(nonce, base64.b64decode(values["Plaintext"]), context)
            return 200, {"CiphertextBlob": base64.b64encode(sealed).decode(), "KeyId": values["KeyId"]}
        sealed = base64.b64decode(values["CiphertextBlob"])
        try:
            plaintext = cipher.decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag:
            return 400, {"__type": "InvalidCiphertextException"}
        return 200, {"Plaintext": base64.b64encode(plaintext).decode(), "KeyId": values["KeyId"]}

    def _is_signed(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        """https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html"""
        algorithm, _, rest = headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",")) if rest else {}
        if algorithm != "AWS4-HMAC-SHA256" or not parts.get("Credential", "").startswith(f"{self.access}/"):
            return False
        day, region, service, end = parts["Credential"].split("/")[1:]
        names = parts["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", "x-amz-target"} <= set(names):
            return False
        lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
        digest = hashlib.sha256(body).hexdigest()
        request = "\n".join((method, path, "", lines, parts["SignedHeaders"], digest))
        scope = "/".join((day, region, service, end))
        hashed = hashlib.sha256(request.encode()).hexdigest()
        key = f"AWS4{self.secret}".encode()
        for part in (day, region, service, end):
            key = hmac.digest(key, part.encode(), hashlib.sha256)
        text = "\n".join((algorithm, headers["x-amz-date"], scope, hashed))
        signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
        return (service, end) == ("kms", "aws4_request") and hmac.compare_digest(signature, parts["Signature"])


def _told(data: dict[str, Any]) -> Reply:
    return 200, {"request_id": "0", "lease_id": "", "renewable": False, "lease_duration": 0, "data": data}
