"""What a person can set or call is written down, and what is written down exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from django.core.management import get_commands

from gateway_site.manual import hook
from tests.architecture import tree


def unasked_reads(paths: Iterable[Path]) -> list[str]:
    """Places that read the environment past `env.py`, where nobody would look for a setting."""
    found = []
    for path in paths:
        for node in ast.walk(tree.parse(path)):
            named = isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.ctx, ast.Load)
            asked = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _reads(node.func)
            if named or asked:
                found.append(f"{path.name}:{getattr(node, 'lineno', 0)}")
    return found


def _is_environ(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def _reads(function: ast.Attribute) -> bool:
    return function.attr == "getenv" or (function.attr == "get" and _is_environ(function.value))


def make_targets(text: str) -> set[str]:
    return {name for line in re.findall(r"^([a-z][a-z -]*):(?!=)", text, re.MULTILINE) for name in line.split()}


def test_the_environment_is_read_in_one_place():
    paths = [path for path in tree.python_files(*tree.SOURCES) if path.name != "env.py"]
    assert unasked_reads(paths) == []


def test_every_make_target_is_explained():
    text = (tree.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = make_targets((tree.ROOT / "Makefile").read_text(encoding="utf-8"))
    assert {"run", "test", "check", "help"} <= targets
    assert [name for name in sorted(targets) if f"`make {name}`" not in text] == []


def test_every_local_link_in_the_documents_leads_somewhere():
    assert documents()
    assert [link for document in documents() for link in dead_links(document)] == []


def test_every_page_is_in_the_navigation():
    """By name: a name that no page has fails here, too. Decisions are listed on a page of their own, which is made."""
    named = set(re.findall(r"^ +- (?:[^:\n]*: )?([\w/-]+\.md)$", (tree.ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {path.relative_to(tree.ROOT / "docs").as_posix() for path in (tree.ROOT / "docs").rglob("*.md")}
    made = {*hook.GUIDES.values(), hook.INDEX}
    assert sorted(page for page in pages - named if not page.startswith("decisions/")) == []
    assert sorted(named - pages - made) == []


def test_every_heading_that_a_link_names_is_there():
    assert [link for document in documents() for link in dead_anchors(document)] == []


def test_every_metric_and_command_in_the_documents_exists():
    sources = "".join(path.read_text(encoding="utf-8") for path in tree.python_files("apps", "gateway_site"))
    metrics = set(re.findall(r'"(weir_[a-z_]+)"', sources))
    named = {name for document in documents() for name in words(document, r"`(weir_[a-z_]+)[`{]")}
    assert len(named) > 20
    assert sorted(name for name in named if not {name, name.removesuffix("_total")} & metrics) == []
    asked = {name for document in documents() for name in words(document, r"manage\.py ([a-z_]+)(?![\w.])")}
    assert {"explain", "ledger_verify"} <= asked
    assert sorted(asked - get_commands().keys()) == []


def documents() -> list[Path]:
    return [*tree.ROOT.glob("*.md"), *(tree.ROOT / "examples").glob("*.md"), *(tree.ROOT / "docs").rglob("*.md")]


def words(document: Path, pattern: str) -> list[str]:
    return re.findall(pattern, document.read_text(encoding="utf-8"))


def dead_anchors(document: Path) -> list[str]:
    """Links to a heading that its page has not."""
    found = []
    for page, anchor in words(document, r"\]\(([^)#\s:]*)#([^)\s]+)\)"):
        target = document.parent / page if page else document
        if target.exists() and target.suffix != ".png" and anchor not in map(slug, words(target, r"(?m)^#+ (.*)$")):
            found.append(f"{document.name}: {page}#{anchor}")
    return found


def slug(heading: str) -> str:
    """As pages that show Markdown name a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def dead_links(document: Path) -> list[str]:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    return [f"{document.name}: {link}" for link in local if not (document.parent / link).exists()]


def test_every_file_that_the_guides_send_to_is_there():
    named = [name for guide in ("CONTRIBUTING.md", "ARCHITECTURE.md") for name in named_files(tree.ROOT / guide)]
    assert len(named) > 20
    assert [name for name in named if not (tree.ROOT / name).exists()] == []


def named_files(document: Path) -> list[str]:
    """Paths from the root, between backticks and without a placeholder."""
    return re.findall(r"`((?:apps|tests|gateway_site|docs|\.ci)/[\w./-]*)`", document.read_text(encoding="utf-8"))


def test_decisions_are_numbered_without_gaps():
    numbers = sorted(int(path.name[:4]) for path in (tree.ROOT / "docs/decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_undocumented_setting_target_or_link_would_be_found(tmp_path):
    source = tmp_path / "settings.py"
    source.write_text("A = 1\nB = os.environ['B']\nC = os.getenv('C')\nos.environ['D'] = '1'\n")
    assert unasked_reads([source]) == ["settings.py:2", "settings.py:3"]
    assert make_targets("run test: setup\n\tx\nA := 1\n.PHONY: run\nvar:=2\n") == {"run", "test"}
    page = tmp_path / "page.md"
    page.write_text("# It's here\n[a](settings.py) [b](gone.md) [c](https://example.org/x) [d](#its-here) [e](#gone)")
    assert dead_links(page) == ["page.md: gone.md"]
    assert dead_anchors(page) == ["page.md: #gone"]
