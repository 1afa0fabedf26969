"""Keys on the pages of those whose they are."""

from __future__ import annotations

import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import cells
from apps.audit.panels import Listing, Panel, listing_of, panel_of
from apps.keys import selectors
from apps.keys.models import Key
from apps.tenants.models import Project, Tenant

TONES = {"active": "good", "expires soon": "warn", "unused": "warn", "expired": "bad", "revoked": "bad"}
MOST_COUNTED = 1_000
MOST_LISTED = 8
ENDING = datetime.timedelta(days=30)


def _keys(request: HttpRequest, row: Any) -> Panel | None:
    """Counted no further than a thousand."""
    if not request.user.has_perm("keys.view_key"):
        return None
    scope = row._meta.model_name
    count = Key.objects.filter(revoked_at=None, **{scope: row}).order_by()[: MOST_COUNTED + 1].count()
    figure = f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else f"{count:,}"
    if not count:
        return Panel("Keys", "none", "Issue one", f"{reverse('admin:keys_key_add')}{_preset(row)}")
    return Panel("Keys", figure, "not revoked", f"{reverse('admin:keys_key_changelist')}?{scope}__id__exact={row.pk}")


def _preset(row: Any) -> str:
    return f"?{row._meta.model_name}={row.pk}" if isinstance(row, Project | User) else ""


for owner in (Tenant, Project, User):
    panel_of(owner)(_keys)


def ending(keys: QuerySet[Key], *, now: datetime.datetime) -> QuerySet[Key]:
    """Those that stop working within thirty days."""
    return keys.filter(revoked_at=None, expires_at__gt=now, expires_at__lte=now + ENDING)


def badge(key: Key) -> str:
    """The state of a key."""
    found = word(key)
    return cells.badge(found, TONES[found])


def word(key: Key) -> str:
    return selectors.state(key, now=timezone.now())


@listing_of(Tenant, Project, User)
def _newest(request: HttpRequest, row: Any) -> Listing | None:
    if not request.user.has_perm("keys.view_key"):
        return None
    scope = row._meta.model_name
    keys = Key.objects.filter(**{scope: row}).select_related("tenant", "project").order_by("-id")
    rows = [
        (
            cells.link(reverse("admin:keys_key_change", args=[key.pk]), key.name),
            key.project,
            badge(key),
            cells.ago(key.last_used_at, never="never"),
        )
        for key in keys[:MOST_LISTED]
    ]
    table = cells.table(("Key", "Project", "State", "Last used"), rows) if rows else ""
    link = f"{reverse('admin:keys_key_changelist')}?{scope}__id__exact={row.pk}"
    return Listing("Newest keys", table, link, "None has been issued.")
