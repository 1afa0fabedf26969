"""Saving a list of the admin as it stands under a name. It is recorded: others may see it, and act on what it shows."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.http import QueryDict

from apps.accounts.models import SavedView, User
from apps.audit import services as audit
from apps.audit.models import Area

MOST = 30  # of one person for one list
MOST_OFFERED = 40
_PASSING = frozenset({"p", "e", "all", "_popup", "_to_field"})  # where one was in the list, not what it showed


def offered(user: Any, page: str) -> list[SavedView]:
    """One's own and those that others share. One query."""
    found = SavedView.objects.filter(Q(user=user) | Q(is_shared=True), page=page).select_related("user")
    return list(found[:MOST_OFFERED])


def save(user: User, *, page: str, name: str, query: str, is_shared: bool) -> SavedView:
    """Raises ValidationError."""
    view = SavedView(user=user, page=page, name=name.strip(), query=lasting(query), is_shared=is_shared)
    if not view.query:
        raise ValidationError("Filter, search or sort the list first: this is how everybody has it.")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if SavedView.objects.filter(user=user, page=page).count() >= MOST:
            raise ValidationError(f"There are {MOST} views of this list already: delete one first.")
        audit.add(view, actor=user, action="savedview.created", area=Area.ACCOUNTS)
    return view


def change(view: SavedView, *, actor: Any, name: str, is_shared: bool) -> None:
    """Raises ValidationError."""
    changes = {"name": name.strip(), "is_shared": is_shared}
    audit.amend(view, actor=actor, action="savedview.updated", area=Area.ACCOUNTS, changes=changes)


def delete(view: SavedView, *, actor: Any) -> None:
    audit.remove(view, actor=actor, action="savedview.deleted", area=Area.ACCOUNTS)


def may_change(user: Any, view: SavedView) -> bool:
    """One's own; an operator those that are shared too."""
    return bool(view.user_id == user.pk or (user.is_superuser and view.is_shared))


def lasting(query: str) -> str:
    """Filters, search and order, in one spelling. Raises ValidationError for what is too long."""
    if len(query) > 4_000:
        raise ValidationError("So many filters cannot be saved.")
    given = QueryDict(query.removeprefix("?"), mutable=True)
    for name in [*given]:
        if name in _PASSING or not any(given.getlist(name)):
            del given[name]
    return "&".join(sorted(given.urlencode().split("&"))) if given else ""
