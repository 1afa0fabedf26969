"""Who is calling: a bearer's API key, or a Signature Version 4 that is computed anew and compared.

Two pairs of keys are known, of a user and of a session. The secrets are none: they are here to be used in tests.

    AKIASIMULATED0000000    simulated/secret/key/0000000000000000001
    ASIASIMULATED0000000    simulated/secret/key/0000000000000000002    with the session token `simulated-session-token`
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import NoReturn

from apps.simulator import keys
from apps.simulator.ask import Refused
from apps.simulator.dialect import Request

USER, SESSION = "AKIASIMULATED0000000", "ASIASIMULATED0000000"
SECRETS = {
    USER: "simulated/secret/key/0000000000000000001",
    SESSION: "simulated/secret/key/0000000000000000002",
}
SESSION_TOKEN = "simulated-session-token"  # noqa: S105  # not a secret
SERVICE = "bedrock"
SKEW_SECONDS = 300
TIMESTAMP = "%Y%m%dT%H%M%SZ"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<key>[^/,]+)/(?P<day>\d{8})/(?P<region>[^/,]+)/(?P<service>[^/,]+)/aws4_request"
    r", *SignedHeaders=(?P<names>[a-z0-9;_-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


def authenticate(request: Request) -> str:
    """The bearer's key or the access key's id. Raises Refused."""
    if key := keys.bearer(request.headers):
        if key == keys.BAD_KEY:
            raise Refused(
                "Authentication failed: Please make sure your API Key is valid.",
                status=403,
                kind="AccessDeniedException",
            )
        return key
    authorization = request.headers.get(b"authorization", b"").decode("latin-1")
    if not authorization:
        raise Refused("Missing Authentication Token", status=403, kind="MissingAuthenticationTokenException")
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise Refused(
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
            status=403,
            kind="IncompleteSignatureException",
        )
    _check(found, request=request)
    return found["key"]


def _check(found: re.Match[str], *, request: Request) -> None:
    token = _header(request, "x-amz-security-token")
    if found["key"] not in SECRETS or token != (SESSION_TOKEN if found["key"] == SESSION else ""):
        raise Refused(
            "The security token included in the request is invalid.", status=403, kind="UnrecognizedClientException"
        )
    if found["service"] != SERVICE:
        _refuse(f"Credential should be scoped to correct service: '{SERVICE}'.")
    stamp = _header(request, "x-amz-date")
    if not stamp.startswith(found["day"]):
        _refuse(f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: {stamp}")
    _check_age(stamp)
    names = found["names"].split(";")
    must = {"host"} | {name.decode("latin-1") for name in request.headers if name.startswith(b"x-amz-")}
    if missing := must - set(names):
        _refuse(f"'{min(missing)}' must be a 'SignedHeader' in the AWS Authorization.")
    if not hmac.compare_digest(_signature(found, request=request, stamp=stamp, names=names), found["signature"]):
        _refuse(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


def _check_age(stamp: str) -> None:
    try:
        at = datetime.strptime(stamp, TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        _refuse(f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.")
    now = datetime.now(UTC)
    if abs((now - at).total_seconds()) > SKEW_SECONDS:
        _refuse(f"Signature expired: {stamp} is now earlier than {now.strftime(TIMESTAMP)} - 5 min.")


def _signature(found: re.Match[str], *, request: Request, stamp: str, names: list[str]) -> str:
    from botocore.auth import SigV4Auth  # loaded where it is needed alone: it is large
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    digest = hashlib.sha256(request.body).hexdigest()
    if _header(request, "x-amz-content-sha256") not in ("", "UNSIGNED-PAYLOAD", digest):
        _refuse("The provided 'x-amz-content-sha256' header does not match what was computed.")
    url = f"http://{_header(request, 'host')}{request.path}" + (f"?{request.query}" if request.query else "")
    headers = {name: _header(request, name) for name in names}
    signed = AWSRequest(method=request.method, url=url, headers=headers, data=request.body)
    signed.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(found["key"], SECRETS[found["key"]]), SERVICE, found["region"])
    text = signer.string_to_sign(signed, signer.canonical_request(signed))
    return str(signer.signature(text, signed))


def _header(request: Request, name: str) -> str:
    return request.headers.get(name.encode("latin-1"), b"").decode("latin-1")


def _refuse(message: str) -> NoReturn:
    raise Refused(message, status=403, kind="InvalidSignatureException")
