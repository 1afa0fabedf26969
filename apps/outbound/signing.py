"""AWS Signature Version 4, made by botocore of exactly what is sent.

botocore takes a third of a second to import: `warm` does it before a call has to wait for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apps.domain import errors
from apps.domain.providers import bedrock
from apps.domain.snapshot import Secret
from apps.runtime import clock

HeaderList = list[tuple[str, str]]

_SERVICE = "bedrock"
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
# Seconds. botocore renews what the machine's role gives it a quarter of an hour before it ends.
_ROLE_KEPT = 60.0
_NONE_KEPT = 5.0  # that there is none: finding that out may take as long, and one call at a time asks
_LATELY = 2  # keys of the role; an answer may still be coming that was asked for with the one before


def warm() -> None:
    """On any thread but a loop's."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials
    import botocore.eventstream  # noqa: F401  # what `domain.eventstream` reads with


async def sign(
    method: str, url: str, *, headers: HeaderList, body: bytes, secret: str, options: Mapping[str, str]
) -> HeaderList:
    """The headers with the signature, for a secret that signs; as they are for one that does not.

    Raises UpstreamAuth where the machine's own credentials are asked for and it has none.
    """
    key = bedrock.access_key(secret)
    if secret == bedrock.ROLE:
        key = _role.known() or await asyncio.to_thread(_role.find)
    if key is None:
        return headers
    return _signed(method, url, headers, body, key, bedrock.region(url, options))


def cut_from(secret: Secret, told: bytes) -> bytes:
    """What a provider says, without the secret it was asked with: the machine's role, too, which no secret spells."""
    told = secret.cut_from(told)
    for key in _role.lately:
        told = key.cut_from(told)
    return told


def _signed(method: str, url: str, headers: HeaderList, body: bytes, key: bedrock.AccessKey, region: str) -> HeaderList:
    """What a proxy may change stays unsigned."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    stamp = time.strftime(_TIMESTAMP, time.gmtime(clock.now()))
    added = [("x-amz-date", stamp)] + ([("x-amz-security-token", key.token)] if key.token else [])
    sent = [*(header for header in headers if header[0].lower() != "authorization"), *added]
    covered = {name: value for name, value in sent if name.lower().startswith(("content-type", "x-amz"))}
    request = AWSRequest(method, url, headers=covered, data=body)
    request.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(key.id, key.secret, key.token), _SERVICE, region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = signer.scope(request)
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    return [*sent, ("authorization", authorization)]


class _Role:
    """The machine's own credentials: botocore finds and renews them, which may take it a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: bedrock.AccessKey | None = None
        self._until = 0.0
        self.lately: tuple[Secret, ...] = ()

    def known(self) -> bedrock.AccessKey | None:
        """Raises UpstreamAuth where there was none a moment ago."""
        if time.monotonic() >= self._until:
            return None
        if self._key is None:
            raise _nobody()
        return self._key

    def find(self) -> bedrock.AccessKey:
        """Blocks. Raises UpstreamAuth."""
        from botocore.exceptions import BotoCoreError

        with self._lock:
            if (key := self.known()) is not None:
                return key
            try:
                found = _session().get_credentials()
                frozen = found.get_frozen_credentials() if found is not None else None
            except BotoCoreError as fault:
                self._keep(None, seconds=_NONE_KEPT)
                raise _nobody() from fault
            if frozen is None or not frozen.access_key:
                self._keep(None, seconds=_NONE_KEPT)
                raise _nobody()
            key = bedrock.AccessKey(frozen.access_key, frozen.secret_key, frozen.token)
            self._keep(key, seconds=_ROLE_KEPT)
            return key

    def _keep(self, key: bedrock.AccessKey | None, *, seconds: float) -> None:
        if key is not None and key != self._key:
            parts = (part for part in (key.id, key.secret, key.token) if part)
            self.lately = (Secret(":".join(parts), host=""), *self.lately)[:_LATELY]
        self._key, self._until = key, time.monotonic() + seconds


@lru_cache(maxsize=1)
def _session() -> Any:
    from botocore.session import get_session

    return get_session()


def _nobody() -> errors.UpstreamAuth:
    error = errors.UpstreamAuth("this machine has no AWS credentials")
    error.reached = False
    return error


_role = _Role()
