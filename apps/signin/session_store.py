"""Sessions as Django keeps them in the database. Where one began with a session at an identity provider, or is about to
when its code is there, it is found by that one's name as long as it lives, under whichever key: both are written in the
same place."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.db import transaction

from apps.signin import entering, remembered

_LETTERS = frozenset(VALID_KEY_CHARS)


class SessionStore(db.SessionStore):
    def __init__(self, session_key: str | None = None) -> None:
        """A cookie may say anything, also what PostgreSQL cannot be asked for: that is no session's key."""
        super().__init__(session_key if set(session_key or "") <= _LETTERS else None)

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            return self.create()
        with transaction.atomic():
            super().save(must_create)
            self._remember(self.session_key)

    def cycle_key(self) -> None:
        former = self.session_key
        super().cycle_key()
        if former is not None:
            remembered.forget(former)

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
