"""A keyring that AWS KMS keeps: `aws-kms:eu-central-1?1=alias/weir&2=arn:aws:kms:…`, a key a version.

KMS renews the material behind one key by itself; another version here is another key. `&endpoint=` names a private
endpoint. Credentials are found as every AWS program finds them. botocore finds them and signs; its client, which
would cost a process some 30 MB, is not used. API: https://docs.aws.amazon.com/kms/latest/APIReference/
"""

from __future__ import annotations

import base64
import json
import re
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable, Wrapped
from apps.outbound.authority import Authority, AuthorityUnreachable

# What KMS says of a text that it did not make, or not with this key or context.
_DOES_NOT_OPEN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class KmsKeyring:
    def __init__(self, authority: Authority, *, region: str, keys: dict[int, str]) -> None:
        self._authority = authority
        self._region = region
        self._keys = keys

    def versions(self) -> frozenset[int]:
        return frozenset(self._keys)

    def active(self) -> int:
        return max(self._keys)

    def wrap(self, key: bytes, *, context: bytes) -> Wrapped:
        version = self.active()
        plaintext = base64.b64encode(key).decode()
        return Wrapped(version, str(self._ask("Encrypt", version, context, Plaintext=plaintext)["CiphertextBlob"]))

    def unwrap(self, text: str, *, version: int, context: bytes) -> bytes:
        if version not in self._keys:
            raise KeyringRefused(f"WEIR_KEYRING lacks version {version}.")
        try:
            base64.b64decode(text, validate=True)
        except ValueError:  # of another keyring; KMS would call the whole question malformed
            raise KeyringRefused("WEIR_KEYRING: this was not sealed by AWS KMS.") from None
        return base64.b64decode(self._ask("Decrypt", version, context, CiphertextBlob=text)["Plaintext"])

    def _ask(self, action: str, version: int, context: bytes, **values: str) -> dict[str, Any]:
        question = {"KeyId": self._keys[version], "EncryptionContext": {"weir": context.decode()}, **values}
        body = json.dumps(question).encode()
        headers = self._signed(action, body)
        try:
            status, answer = self._authority.ask("POST", "/", headers=headers, body=body)
        except AuthorityUnreachable as error:
            raise KeyringUnavailable(f"WEIR_KEYRING: AWS KMS does not answer ({error}).") from None
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError:
            found = {}
        if status == 200 and found:
            return found
        kind = str(found.get("__type", status)).rpartition("#")[2][:80]
        if kind in _DOES_NOT_OPEN:
            raise KeyringRefused(f"WEIR_KEYRING: AWS KMS does not open this ({kind}).")
        raise KeyringUnavailable(f"WEIR_KEYRING: AWS KMS says {kind} to {action}.")

    def _signed(self, action: str, body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"TrentService.{action}"}
        request = AWSRequest("POST", f"{self._authority.origin}/", headers=headers, data=body)
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise KeyringUnavailable("WEIR_KEYRING: there are no AWS credentials.")
            SigV4Auth(credentials.get_frozen_credentials(), "kms", self._region).add_auth(request)
        except BotoCoreError as error:
            raise KeyringUnavailable(f"WEIR_KEYRING: AWS credentials: {type(error).__name__}.") from None
        return {str(name): str(value) for name, value in request.headers.items()}

    @cached_property
    def _session(self) -> Any:
        from botocore.session import get_session

        return get_session()


def read(address: str) -> KmsKeyring:
    """`address` is what follows `aws-kms:`. Raises KeyringRefused."""
    region, _, query = address.partition("?")
    values = dict(parse_qsl(query))
    endpoint = values.pop("endpoint", f"https://kms.{region}.amazonaws.com")
    if not region or not values or not all(_NUMBER.fullmatch(version) for version in values):
        raise KeyringRefused("WEIR_KEYRING: aws-kms: needs a region and keys, as in aws-kms:eu-central-1?1=alias/weir.")
    try:
        authority = Authority(endpoint)
    except ValueError as error:
        raise KeyringRefused(f"WEIR_KEYRING: {error}.") from None
    return KmsKeyring(authority, region=region, keys={int(version): key for version, key in values.items()})
