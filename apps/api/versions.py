"""Versions of what can be changed: whoever writes says which one they have read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from rest_framework.request import Request

from apps.api.problems import Problem


def version(told: dict[str, Any], *, volatile: tuple[str, ...]) -> str:
    """An entity tag of what people set: uses, health and spend, which change by themselves, make no new one."""
    lasting = {name: value for name, value in told.items() if name not in volatile}
    text = json.dumps(lasting, cls=DjangoJSONEncoder, sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def wanted(request: Request) -> tuple[str, ...]:
    """Raises Problem where none is given."""
    given = request.META.get("HTTP_IF_MATCH", "")
    if not given.strip():
        raise Problem(428, "Send If-Match with the ETag that you got when you read it.")
    return tuple(part.strip() for part in given.split(","))


def check(found: str, *, among: tuple[str, ...]) -> None:
    """Raises Problem. `*` is any version."""
    if "*" not in among and found not in among:
        problem = Problem(412, "Read it again: somebody has changed it since.")
        problem.headers["ETag"] = found
        raise problem
