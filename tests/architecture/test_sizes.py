"""A file is at most 400 lines, a function at most 50. There is no list of exceptions."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.architecture import tree

FILE_LINES = 400
FUNCTION_LINES = 50


def too_long(paths: Iterable[Path]) -> list[str]:
    found = []
    for path in paths:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            found.append(f"{path}: {lines} lines")
        for node in ast.walk(tree.parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    found.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    return found


def test_no_file_and_no_function_is_over_its_cap():
    assert too_long(tree.python_files(*tree.EVERYTHING)) == []


def test_a_long_file_and_a_long_function_are_found(tmp_path):
    body = "    x = 1\n"
    (tmp_path / "fits.py").write_text("def f():\n" + body * (FUNCTION_LINES - 1) + "y = 1\n" * 350)
    (tmp_path / "long_function.py").write_text("class A:\n  async def f(self):\n" + body * FUNCTION_LINES)
    (tmp_path / "long_file.py").write_text("x = 1\n" * (FILE_LINES + 1))
    found = [line.rpartition("/")[2] for line in too_long(sorted(tmp_path.glob("*.py")))]
    assert found == ["long_file.py: 401 lines", "long_function.py:2 f: 51 lines"]


def test_migrations_are_not_measured_but_their_neighbours_are(tmp_path):
    for name in ("apps/keys/migrations/0001_initial.py", "apps/keys/models.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(tree.python_files("apps", root=tmp_path)) == [tmp_path / "apps/keys/models.py"]
