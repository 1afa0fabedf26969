"""The domain reads no clock, rolls no dice, touches no file. What its imports cannot show, its calls do."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.architecture import tree

IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "__import__", "breakpoint"})
IMPURE_METHODS = frozenset(
    {"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "uuid8", "getnode", "urlopen", "import_module"}
)


def impurities(paths: Iterable[Path]) -> list[str]:
    return [
        f"{path.name}:{getattr(node, 'lineno', 0)} {name}"
        for path in paths
        for node in ast.walk(tree.parse(path))
        if (name := _impure(node))
    ]


def _impure(node: ast.AST) -> str | None:
    if isinstance(node, ast.Global | ast.Nonlocal):
        return "global" if isinstance(node, ast.Global) else None
    if not isinstance(node, ast.Call):
        return None
    called = node.func
    if isinstance(called, ast.Name) and called.id in IMPURE_CALLS | IMPURE_METHODS - {"now"}:
        return called.id
    if isinstance(called, ast.Attribute) and called.attr in IMPURE_METHODS:
        return called.attr
    return None


def test_the_domain_takes_time_and_chance_as_arguments():
    assert impurities(tree.python_files("apps/domain")) == []


def test_a_clock_a_die_and_a_file_are_found(tmp_path):
    source = tmp_path / "impure.py"
    source.write_text(
        "from datetime import datetime\nfrom uuid import uuid4\n"
        "def at(now): return now\n"
        "a = datetime.now()\nb = uuid4()\nc = open('x')\n"
        "def f():\n    global a\n"
        "d = at(now=3)\n"
    )
    assert impurities([source]) == ["impure.py:4 now", "impure.py:5 uuid4", "impure.py:6 open", "impure.py:8 global"]
