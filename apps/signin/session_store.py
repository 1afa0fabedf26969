"""Sessions as Django keeps them in the database, but under a digest of the key that the browser has: whoever reads the
database, or a copy of it, is signed in by none of them.

Where one began with a session at an identity provider, or is about to when its code is there, it is found by that one's
name as long as it lives, under whichever key: both are written in the same place."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from apps.runtime import walls
from apps.signin import entering, remembered

_LETTERS = frozenset(VALID_KEY_CHARS)


def stored(key: str) -> str:
    """What a session's row is found by, in a column of 40 characters."""
    return sha256(key.encode()).hexdigest()[:40]


class SessionStore(db.SessionStore):
    def __init__(self, session_key: str | None = None) -> None:
        """A cookie may say anything, also what PostgreSQL cannot be asked for: that is no session's key."""
        super().__init__(session_key if set(session_key or "") <= _LETTERS else None)

    @walls.as_installation()
    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            return self.create()
        with transaction.atomic():
            super().save(must_create)
            self._remember(stored(self.session_key))

    def cycle_key(self) -> None:
        former = self.session_key
        super().cycle_key()
        if former is not None:
            remembered.forget(stored(former))

    @walls.as_installation()
    def exists(self, session_key: str) -> bool:
        return bool(super().exists(stored(session_key)))

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row = super().create_model_instance(data)
        row.session_key = stored(row.session_key)
        return row

    @walls.as_installation()
    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            super().delete(stored(key))

    @walls.as_installation()
    def _get_session_from_db(self) -> Session | None:
        """Django's word for it; a key that opens nothing is forgotten."""
        found = None
        if self.session_key is not None:
            rows = Session.objects.filter(session_key=stored(self.session_key), expire_date__gt=timezone.now())
            found = rows.first()
        if found is None:
            self._session_key = None
        return found

    # What Django asks of sessions in a loop does the same, in a thread.
    _aget_session_from_db = sync_to_async(_get_session_from_db)
    acreate_model_instance = sync_to_async(create_model_instance)
    aexists = sync_to_async(exists)
    adelete = sync_to_async(delete)

    def _remember(self, key: str) -> None:
        pending = self.get(entering.PENDING)
        if pending:
            name, user = pending.get("session_name", ""), pending["user"]
        else:
            name, user = self.get(entering.PROVIDER_SESSION), self.get(SESSION_KEY)
        if name and user is not None:
            remembered.remember(name, session_key=key, user_id=int(user))
        elif name is not None:
            remembered.forget(key)
