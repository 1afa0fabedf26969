"""What went wrong, for programs: `application/problem+json` (RFC 9457) whatever it was. `code` is for programs,
`detail` for people, `errors` has the messages by field, `trace_id` is that of the answer's header and of log lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.catalog.keyrings.ring import KeyringRefused
from apps.catalog.vault import SecretUnreadable
from apps.runtime import traces
from apps.runtime.redact import redact

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_TEXT = 500
TYPES = "urn:weir:problem:"
TITLES = {
    "bad_request": "The request cannot be read",
    "bad_query": "The query has parameters that cannot be",
    "invalid": "Some fields cannot be",
    "not_signed_in": "Nobody is signed in",
    "forbidden": "This takes a right that you have not",
    "read_only": "This token may only read",
    "not_found": "There is no such thing",
    "method_not_allowed": "This is not done here",
    "not_acceptable": "Only JSON is spoken here",
    "conflict": "Something else is in the way",
    "changed_meanwhile": "It has changed since you read it",
    "length_required": "Say how long the body is",
    "too_large": "The body is too long",
    "unsupported_media_type": "Send JSON",
    "key_reused": "This Idempotency-Key was used for another request",
    "version_required": "Say which version you have read",
    "throttled": "Too many requests",
    "failed": "Weir has failed",
    "unavailable": "Weir cannot do this just now",
}
_CODES = {
    400: "bad_request", 401: "not_signed_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 409: "conflict", 411: "length_required", 412: "changed_meanwhile", 413: "too_large",
    415: "unsupported_media_type", 422: "invalid", 428: "version_required", 429: "throttled", 503: "unavailable",
}  # fmt: skip


class Problem(exceptions.APIException):
    """`errors` by field; a field inside of another is named like `rules.0.kind`."""

    def __init__(
        self, status: int, detail: str = "", *, code: str = "", errors: Mapping[str, list[str]] | None = None
    ) -> None:
        super().__init__(detail)
        self.status_code = status
        self.code = code or _CODES.get(status, "failed")
        self.told = detail
        self.errors = dict(errors or {})
        self.headers: dict[str, str] = {}


def body(status: int, *, code: str = "", detail: str = "", errors: Mapping[str, list[str]] | None = None) -> Any:
    code = code or _CODES.get(status, "failed")
    told: dict[str, Any] = {"type": TYPES + code, "title": TITLES[code], "status": status, "code": code}
    if detail:
        told["detail"] = _plain(detail)
    if errors:
        told["errors"] = {_plain(name): [_plain(text) for text in texts] for name, texts in errors.items()}
    if trace_id := traces.place.get()[0]:
        told["trace_id"] = trace_id
    return told


def _plain(text: str) -> str:
    """Messages say again what was sent, which may be anything."""
    return redact(text[:MOST_TEXT]).encode(errors="replace").decode()


def response(problem: Problem) -> Response:
    told = body(problem.status_code, code=problem.code, detail=problem.told, errors=problem.errors)
    answer = Response(told, status=problem.status_code, headers=problem.headers, content_type=MEDIA_TYPE)
    answer.exception = True
    return answer


def answer(error: Exception, context: Any) -> Response:
    """DRF's exception handler: there is nothing that it lets pass."""
    problem = of(error)
    set_rollback()
    return response(problem)


def of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case ValidationError():
            return refused(error)
        case exceptions.ValidationError():
            return Problem(422, errors=flat(error.detail))
        case PermissionDenied():
            return Problem(403, str(error))
        case Http404() | ObjectDoesNotExist():
            return Problem(404)
        case exceptions.APIException():
            return _of_framework(error)
        case ProtectedError() | RestrictedError() | IntegrityError():
            return Problem(409, "Others depend on it, or there is one like it.")
        case SecretUnreadable():
            return Problem(409, "The credential does not open any more: set its secret anew.")
        case KeyringRefused() | OperationalError():
            log.warning("api.unavailable", reason=redact(str(error))[:300])
            return _later(Problem(503), seconds=2)
    log.error("api.failed", exc_info=error)
    return Problem(500, "What went wrong is in the log.", code="failed")


def refused(error: ValidationError, *, names: Mapping[str, str] | None = None) -> Problem:
    """What a service refuses, at the field where there is one. `names`: what columns are called here."""
    if not hasattr(error, "error_dict"):
        return Problem(422, " ".join(error.messages))
    found = dict(error.message_dict)
    for refusal in error.error_dict.get(NON_FIELD_ERRORS, []):
        if refusal.code == "unique_together" and refusal.params:
            found.pop(NON_FIELD_ERRORS, None)
            found[refusal.params["unique_check"][-1]] = refusal.messages
    detail = " ".join(found.pop(NON_FIELD_ERRORS, []))
    return Problem(422, detail, errors={(names or {}).get(name, name): list(texts) for name, texts in found.items()})


def flat(detail: Any, *, prefix: str = "") -> dict[str, list[str]]:
    """Messages by dotted path."""
    if isinstance(detail, Mapping):
        parts = [(f"{prefix}.{name}" if prefix else str(name), part) for name, part in detail.items()]
    elif isinstance(detail, list) and any(isinstance(part, Mapping | list) for part in detail):
        parts = [(f"{prefix}.{index}" if prefix else str(index), part) for index, part in enumerate(detail)]
    else:
        return {prefix or "body": [str(text) for text in (detail if isinstance(detail, list) else [detail])]}
    return {path: texts for name, part in parts if part for path, texts in flat(part, prefix=name).items()}


def _of_framework(error: exceptions.APIException) -> Problem:
    status = error.status_code
    problem = Problem(status, "" if status == 404 else str(error.detail))
    if (header := getattr(error, "auth_header", None)) is not None:
        problem.headers["WWW-Authenticate"] = header
    if (wait := getattr(error, "wait", None)) is not None:
        _later(problem, seconds=int(wait) + 1)
    return problem


def _later(problem: Problem, *, seconds: int) -> Problem:
    problem.headers["Retry-After"] = str(seconds)
    return problem


@csrf_exempt  # it does nothing, and a program is not told in HTML what a form lacks
def lost(request: HttpRequest, **_: Any) -> JsonResponse:
    """For paths that lead nowhere."""
    return JsonResponse(body(404), status=404, content_type=MEDIA_TYPE)
