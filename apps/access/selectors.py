"""Whose token it is."""

from __future__ import annotations

import hmac
from typing import Any

from django.db.models import QuerySet, Subquery
from django.utils import timezone

from apps.access.models import Token
from apps.catalog import data_keys
from apps.catalog.models import Purpose
from apps.domain import keys as format_of_keys


def is_token(text: str) -> bool:
    """Whether it is shaped like one. Needs no store."""
    return format_of_keys.public_id(text, prefix=format_of_keys.OF_TOKENS) is not None


def working(text: str) -> Token | None:
    """The token, with its user and tenant; None for what is none, is over, or whose owner was shut off. One query, none
    for what is not shaped like one. Raises KeyringUnavailable."""
    public_id = format_of_keys.public_id(text, prefix=format_of_keys.OF_TOKENS)
    if public_id is None:
        return None
    rows = Token.objects.filter(public_id=public_id, revoked_at=None, expires_at__gt=timezone.now())
    newest = data_keys.of(None, purpose=Purpose.API_TOKENS).values("pk")[:1]
    token = rows.select_related("user", "tenant", "pepper").annotate(newest_pepper=Subquery(newest)).first()
    if token is None:
        return None
    digest = format_of_keys.digest(text, pepper=data_keys.opened(token.pepper))
    return token if hmac.compare_digest(bytes(token.digest), digest) and token.user.is_active else None


def tokens() -> QuerySet[Token]:
    return Token.objects.select_related("user", "tenant")


def tokens_of(user: Any) -> QuerySet[Token]:
    return tokens().filter(user=user.pk)
