"""Each page that lists something lists all of it and nothing else: paths, commands, targets, what menus lead to."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from apps.gateway import routes as data_plane
from apps.portal import navigation
from apps.status import probes
from apps.status import urls as telling
from gateway_site import console
from gateway_site.manual import routes
from tests.architecture import tree

ROOT = tree.ROOT


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def cells(name: str, heading: str) -> str:
    """The first cells of the table that begins with this heading."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-| ]+\n((?:\|.*\n?)+)", text(name), re.MULTILINE)
    assert table is not None, f"{name} has no table of {heading}"
    return "\n".join(line.split(" | ")[0] for line in table[1].splitlines())


def quoted(words: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", words))


def emphasised(words: str) -> set[str]:
    return set(re.findall(r"\*([^*]+)\*", words))


def missing(there: Iterable[str], told: Iterable[str]) -> dict[str, list[str]]:
    """Both ways; nothing if one says what the other does."""
    there, told = set(there), set(told)
    found = {"told nowhere": sorted(there - told), "not there": sorted(told - there)}
    return {name: names for name, names in found.items() if names}


def test_every_path_of_the_data_plane():
    there = {f"{method} {path}" for path, methods in data_plane.ROUTES.items() for method in methods}
    told = {one for one in quoted(cells("docs/data-plane.md", "Path")) if one.startswith(("GET /", "POST /"))}
    assert missing(there, told) == {}
    assert data_plane.HELLO in cells("docs/data-plane.md", "Path")


def test_every_page_of_a_process():
    there = {f"/{pattern.pattern}" for pattern in telling.urlpatterns} | probes.PROBES.keys()
    assert "/health/ready" in there
    assert missing(there, quoted(cells("docs/data-plane.md", "Page"))) == {}
    for path in probes.PROBES:
        assert any(pattern.resolve(path[1:]) for pattern in probes.urlpatterns), path


def test_every_page_that_is_named_as_one_leads_somewhere():
    """Paths of the portal, the admin and the API between backticks, in all documents."""
    named = {
        (document.name, path)
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for path in re.findall(
            r"`(/(?:admin|api/v1|sign-in|device|live|account)/[\w/.-]*)`", document.read_text("utf-8")
        )
    }
    assert len(named) > 5
    assert [(name, path) for name, path in sorted(named) if not leads_somewhere(path)] == []


def leads_somewhere(path: str) -> bool:
    for candidate in (path, f"{path}/", path.rstrip("/")):
        try:
            resolve(candidate)
        except Resolver404:
            continue
        return True
    return False


def test_every_resource_of_the_management_api():
    """`pages` raises where one has no page; and the page that tells of the API names no other resource."""
    pages = "".join(markdown for _, _, markdown in routes.pages(ROOT / "apps/api/openapi.yaml"))
    from apps.api.urls import VIEWS

    assert [view.place for view in VIEWS if f"## {view.place}\n" not in pages] == []
    told = {word for word in quoted(cells("docs/api.md", "Path")) if re.fullmatch(r"[a-z/-]+", word)}
    assert sorted(word for word in told if f"/api/v1/{word}" not in pages) == []


def test_every_command():
    """Ours, by the apps that they lie in; Django's and others' are not on the page."""
    there = {name for name, app in get_commands().items() if str(app).startswith("apps.")}
    assert missing(there, quoted(cells("docs/commands.md", "Command"))) == {}


def test_every_make_target():
    there = set(re.findall(r"^([a-z][a-z-]*):.*##", text("Makefile"), re.MULTILINE))
    told = {word.removeprefix("make ") for word in quoted(cells("CONTRIBUTING.md", "Command"))}
    of_folders = {name for name in told if name.startswith("test-")}
    assert missing(there, told - of_folders) == {}
    assert all((ROOT / "tests" / name.removeprefix("test-")).is_dir() for name in of_folders)


def test_every_page_of_the_portals_menu():
    there = {item.title for _, items in navigation.GROUPS for item in items}
    assert missing(there, emphasised(cells("docs/portal.md", "In the menu"))) == {}


def test_every_page_of_the_admins_menu():
    there = {item["title"] for group in console.MENU for item in group["items"]}
    assert missing(there, emphasised(cells("docs/admin.md", "In the menu"))) == {}


@pytest.mark.parametrize(
    ("there", "told", "found"),
    [
        ({"a"}, {"a"}, {}),
        ({"a", "b"}, {"a"}, {"told nowhere": ["b"]}),
        ({"a"}, {"a", "c"}, {"not there": ["c"]}),
    ],
)
def test_what_only_one_side_has_is_found(there, told, found):
    assert missing(there, told) == found
