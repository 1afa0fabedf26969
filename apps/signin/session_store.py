"""Sessions as Django keeps them in the database. Where one began with a session at an identity provider, it is found by
that one's name as long as it lives, under whichever key: both are written in the same place."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db

from apps.signin import entering, remembered


class SessionStore(db.SessionStore):
    def save(self, must_create: bool = False) -> None:
        super().save(must_create)
        name, user = self.get(entering.PROVIDER_SESSION), self.get(SESSION_KEY)
        if name is not None and user and self.session_key is not None:
            remembered.remember(name, session_key=self.session_key, user_id=int(user))
