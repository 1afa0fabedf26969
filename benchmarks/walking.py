"""All sights of a seeded installation, opened one after another."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from django.db.models import Count

from apps.accounts.models import User
from apps.api import rates
from apps.tenants.models import Tenant
from benchmarks import sights
from benchmarks.opening import Opened, Visitors
from benchmarks.sights import Sight, Viewer

FINE = (HTTPStatus.OK, HTTPStatus.FOUND)
# What whoever does not see everything may be told, and whoever does of rows that nobody adds or deletes.
REFUSED = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
SEEING = ("owner", "median", sights.ADMIN, sights.API)
UNCHANGED = (" add", " delete")
OPERATOR = "scale-operator"


class Walk:
    """`names`: of the viewers, the owner among them. `is_short`: every page once, without its filters and its next
    page, and nothing of the management API."""

    def __init__(self, *names: str, is_short: bool = False) -> None:
        self._is_short = is_short
        found = sights.viewers(*_tenants())
        self.viewers = {viewer.name: viewer for viewer in found if not names or viewer.name in names}
        self.visitors = Visitors()
        for viewer in self.viewers.values():
            self.visitors.add(viewer.name, viewer.user)
        operator, _ = User.objects.get_or_create(
            username=OPERATOR, defaults={"is_staff": True, "is_superuser": True, "password": "!"}
        )
        self.visitors.add(sights.ADMIN, operator)
        for name, user in ((sights.API, operator), (f"{sights.API} owner", self.viewers["owner"].user)):
            self.visitors.add(name, user)

    def sights(self, only: str = "") -> Iterator[tuple[Sight, Opened]]:
        """Each whose page's name begins with `only`, and how it was when it was opened first."""
        owner = self.viewers["owner"]
        seen: set[tuple[str, str]] = set()
        for viewer in self.viewers.values():
            for sight in sights.portal(viewer):
                if sight.name.startswith(only):
                    yield from self._followed(sight, viewer, seen)
        for sight in self._others(owner):
            if sight.name.startswith(only):
                yield from self._followed(sight, owner, seen)

    def _others(self, owner: Viewer) -> list[Sight]:
        """What operators and programs look at."""
        if not self._is_short:
            return [*sights.console(owner), *sights.interface(owner)]
        return [sight for sight in sights.console(owner) if "?" not in sight.url and not sight.is_file]

    def open(self, sight: Sight) -> Opened:
        rates.forget()
        return self.visitors.open(sight.who, sight.url)

    def _followed(self, sight: Sight, viewer: Viewer, seen: set[tuple[str, str]]) -> Iterator[tuple[Sight, Opened]]:
        """With its filters and its next page; what these lead to is not followed further."""
        queue = [(sight, True)]
        while queue:
            one, is_first = queue.pop(0)
            if (one.who, one.url) in seen:
                continue
            seen.add((one.who, one.url))
            opened = self.open(one)
            if opened.status in REFUSED and (one.who not in SEEING or one.name.endswith(UNCHANGED)):
                continue
            yield one, opened
            if opened.status not in FINE or one.is_file or one.name.startswith("api") or self._is_short:
                continue
            further = [*sights.onward(one, opened.text)] if is_first else []
            if is_first and one.name.startswith("portal"):
                further += sights.forms(one, opened.text, viewer)
            queue += [(each, False) for each in further]


def _tenants() -> tuple[Tenant, Tenant]:
    """The one with most keys, and that in the middle."""
    found = list(Tenant.objects.annotate(keys_held=Count("keys")).order_by("-keys_held", "pk"))
    return found[0], found[len(found) // 2]
