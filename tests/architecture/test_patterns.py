"""What regular expressions may not hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.architecture.tree import ROOT

_POSSESSIVE = re.compile(r"\)(?:[*+?]|\{[0-9,{}]+\})\+")
# Of a JSON string: a backslash and whatever follows it. Nothing there can fail half way but at the end of a text.
_ESCAPES = (r'(?:\\.[^"\\]*+)*+', r'(?:\\[^\r\n][^"\\\r\n]*+)*+')


def misread(line: str) -> bool:
    for known in _ESCAPES:
        line = line.replace(known, "")
    return bool(_POSSESSIVE.search(line))


def lines() -> Iterator[tuple[str, str]]:
    for folder in ("apps", "gateway_site"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                yield f"{path.relative_to(ROOT)}:{number}", line


def test_no_group_is_possessive_that_may_fail_half_way():
    """Before Python 3.11.5 it ends where its last, failing turn had come to, so that less is found or another place:
    https://github.com/python/cpython/issues/106052. `(?>(…)*)` is right, but holds every turn in memory."""
    assert [place for place, line in lines() if misread(line)] == []
    assert misread(r"(?:[0-9]|x)*+")
    assert misread(r"(?:[ -][0-9]++){2,3}+")
    assert not misread(r"(?>(?:a|b)*)[0-9]++")
