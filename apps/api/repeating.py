"""`Idempotency-Key`: a POST that is sent again is answered again, and done once.

The answer is kept without its secret: a secret is told once, whatever happens on the way, and lies nowhere. Who lost it
learns from the repeated answer what was made, and rotates or revokes that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access import repeats
from apps.api.problems import Problem

LONGEST = 255
KEPT_HEADERS = ("ETag", "Location")
REPLAYED = "Idempotency-Replayed"
_SALT = "weir.api.repeats"


def once(request: Request, do: Callable[[], Response], *, secrets: tuple[str, ...] = ()) -> Response:
    """Does it in a transaction. `secrets`: names of what is told once only."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        with transaction.atomic():
            return do()
    if not 0 < len(key) <= LONGEST or not key.isascii() or not key.isprintable():
        raise Problem(400, f"An Idempotency-Key is 1 to {LONGEST} printable ASCII characters.")
    try:
        found = repeats.begin(request.user.pk, key=key, digest=_digest(request))
    except repeats.OtherRequest:
        raise Problem(422, code="key_reused") from None
    except repeats.UnderWay:
        raise _under_way() from None
    if isinstance(found, repeats.Given):
        return Response(found.body, status=found.status, headers={**found.headers, REPLAYED: "true"})
    try:
        with transaction.atomic():
            answer = do()
            kept = {name: None if name in secrets else value for name, value in (answer.data or {}).items()}
            headers = {name: answer[name] for name in KEPT_HEADERS if name in answer}
            repeats.finish(found, status=answer.status_code, headers=headers, body=_plain(kept))
    except repeats.UnderWay:
        raise _under_way() from None
    except BaseException:
        repeats.give_up(found)
        raise
    return answer


def _digest(request: Request) -> str:
    """Of all that decides what is done. Keyed: bodies hold secrets that could be guessed."""
    token = request.auth.pk if request.auth is not None else ""
    told = json.dumps([request.method, request.get_full_path(), token, request.data], cls=DjangoJSONEncoder)
    return salted_hmac(_SALT, told, algorithm="sha256").hexdigest()


def _plain(body: Any) -> Any:
    return json.loads(json.dumps(body, cls=DjangoJSONEncoder))


def _under_way() -> Problem:
    problem = Problem(409, "The same request is being answered: ask again in a moment.")
    problem.headers["Retry-After"] = "1"
    return problem
