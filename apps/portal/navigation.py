"""The menu beside every page: what this visitor may open, and which of it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from apps.tenants.rights import Right

if TYPE_CHECKING:
    from apps.portal.visits import Visit


class Item(NamedTuple):
    """`name` is the page's in `urls`; those below it are `name-…`. `needs`: one of these rights; none: everybody."""

    title: str
    name: str
    icon: str
    needs: tuple[Right, ...] = ()


GROUPS: tuple[tuple[str, tuple[Item, ...]], ...] = (
    ("", (Item("Overview", "overview", "home"), Item("Live", "live", "pulse"))),
    (
        "Build",
        (
            Item("Keys", "keys", "key", (Right.CALL, Right.MANAGE_KEYS)),
            Item("Models", "models", "cube"),
            Item("Playground", "playground", "play", (Right.CALL,)),
            Item("Quick start", "start", "terminal", (Right.CALL,)),
            Item("Programs", "programs", "check", (Right.CALL, Right.MANAGE_KEYS)),
        ),
    ),
    (
        "Spending",
        (
            Item("Usage", "usage", "list"),
            Item("Costs", "costs", "chart"),
            Item("Budgets", "budgets", "gauge"),
            Item("Alerts", "alerts", "bell", (Right.MANAGE_ALERTS,)),
        ),
    ),
    (
        "Organisation",
        (
            Item("Members", "members", "people"),
            Item("Projects", "projects", "folder"),
            Item("Audit log", "audit", "history", (Right.SEE_AUDIT,)),
            Item("Settings", "settings", "cog", (Right.MANAGE_SETTINGS,)),
        ),
    ),
)


def menu(visit: Visit) -> list[dict[str, Any]]:
    """Groups with their items, without those of which the visitor may open nothing."""
    shown = []
    for title, items in GROUPS:
        links = [link for item in items if (link := _link(visit, item)) is not None]
        if links:
            shown.append({"title": title, "links": links})
    return shown


def _link(visit: Visit, item: Item) -> dict[str, Any] | None:
    if item.needs and not any(visit.may(right) for right in item.needs):
        return None
    match = visit.request.resolver_match
    here = match.url_name or "" if match is not None else ""
    is_open = here == item.name or here.startswith(f"{item.name}-")
    return {"title": item.title, "url": visit.url(item.name), "icon": item.icon, "is_open": is_open}
