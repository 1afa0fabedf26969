"""Django's middleware on an event loop: a class that is sync only costs every request of the admin two thread hops.

The data plane walks none of them. Those that are sync only are named in a decision, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.utils.module_loading import import_string

from tests.architecture import tree

DECISION = "docs/decisions/0002-plain-asgi-ahead-of-django.md"


def sync_only(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if not getattr(import_string(path), "async_capable", False)]


def undocumented(paths: Iterable[str], *, text: str) -> list[str]:
    return [path for path in paths if path not in text]


def test_a_sync_only_middleware_is_named_in_the_decision():
    text = (tree.ROOT / DECISION).read_text(encoding="utf-8")
    assert undocumented(sync_only(settings.MIDDLEWARE), text=text) == []


class SyncOnly:
    """Planted."""


class Both:
    async_capable = True


def test_a_sync_only_middleware_is_found():
    paths = [f"{__name__}.SyncOnly", f"{__name__}.Both"]
    assert sync_only(paths) == [f"{__name__}.SyncOnly"]
    assert undocumented(sync_only(paths), text="nothing here") == [f"{__name__}.SyncOnly"]
