"""A name says what is inside. These say nothing, so what lies there grows without bound."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.architecture import tree

EMPTY_WORDS = frozenset({"utils", "util", "helpers", "helper", "common", "base", "misc", "shared", "core", "lib"})


def empty_names(paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths if EMPTY_WORDS & {*path.parts, path.stem}]


def test_no_module_has_a_name_that_says_nothing():
    assert empty_names(path.relative_to(tree.ROOT) for path in tree.python_files(*tree.EVERYTHING)) == []


def test_such_names_are_found_as_file_and_as_folder():
    planted = [Path("apps/keys/utils.py"), Path("apps/common/keys.py"), Path("apps/keys/database.py")]
    assert empty_names(planted) == ["apps/keys/utils.py", "apps/common/keys.py"]


def test_every_package_says_what_it_is():
    packages = [path for path in tree.python_files(*tree.SOURCES) if path.name == "__init__.py"]
    assert [str(path) for path in packages if not ast.get_docstring(tree.parse(path))] == []
