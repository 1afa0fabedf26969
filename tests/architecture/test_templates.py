"""Every template of ours compiles: a typo in a tag or a missing library is found before a visitor finds it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.template import TemplateSyntaxError, engines

from tests.architecture import tree


def broken(paths: Iterable[Path]) -> list[str]:
    found = []
    for path in paths:
        try:
            engines["django"].from_string(path.read_text(encoding="utf-8"))
        except TemplateSyntaxError as error:
            found.append(f"{path.name}: {error}")
    return found


def test_every_template_compiles():
    assert broken(path for path in sorted((tree.ROOT / "templates").rglob("*")) if path.is_file()) == []


def test_a_broken_template_is_found(tmp_path):
    (tmp_path / "good.html").write_text("{% load static %}{% if a %}{{ a|default:'-' }}{% endif %}")
    (tmp_path / "unclosed.html").write_text("{% if a %}")
    (tmp_path / "unknown.html").write_text("{% load nothing_of_that_name %}")
    found = broken(sorted(tmp_path.iterdir()))
    assert [line.split(":")[0] for line in found] == ["unclosed.html", "unknown.html"]
