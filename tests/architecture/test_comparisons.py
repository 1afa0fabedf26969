"""Secrets are compared in a time that says nothing of how much of them was right: never by ==, != or `in`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import tree

pytestmark = pytest.mark.attack("F26")
SECRET = re.compile(
    r"(digest|secret|password|passphrase|signature|h?mac|nonce|checksum|token|plaintext|presented|verifier"
    r"|session_hash|session_key|recovery_code|user_code|device_code|hexdigest|api_key)$",
    re.IGNORECASE,
)
# Named like a secret, and none that somebody outside could be guessing at.
KNOWN = {
    "apps/access/repeats.py: row.digest != digest": "of a request's body, under an id of the asker's own",
    "apps/keys/rotation.py: bytes(row.digest) == due[row.pk].digest": "both are read from the database",
    "apps/gateway/keyring.py: digest not in self._unknown": "keyed at random in this process, and looked up by hash",
    "apps/usage/sealing.py: exported.get(hour) != kept.digest": "of a file's rows",
    "apps/reconciliation/shapes/pages.py: digest in known": "of a report's page",
    "apps/reconciliation/fetching.py: token in known": "where a report's next page begins",
    "apps/domain/providers/bedrock.py: secret == ROLE": "a word of ours, by which no secret is meant",
    "apps/outbound/signing.py: secret == bedrock.ROLE": "a word of ours, by which no secret is meant",
    "apps/catalog/keyring.py: secret in (file.content(text.partition(':')[2]) if kind_of(text) == 'file' else text)": (
        "an operator's own settings, held against each other"
    ),
    "apps/portal/programs.py: kind == DEVICE_CODE": "what kind of grant is asked for",
    "gateway_site/refusals.py: others['WEIR_SECRET_KEY'] == others['WEIR_OPERATOR_TOKEN']": (
        "an operator's own settings, held against each other"
    ),
}


def comparisons(root: Path = tree.ROOT) -> Iterator[str]:
    """The simulated provider is left out: its keys are in its documentation."""
    for path in tree.python_files(*tree.SOURCES, root=root):
        place = path.relative_to(root).as_posix()
        if place.startswith("apps/simulator/"):
            continue
        for node in ast.walk(tree.parse(path)):
            if isinstance(node, ast.Compare) and _tells(node):
                yield f"{place}: {ast.unparse(node)}"


def _tells(node: ast.Compare) -> bool:
    """Whether it holds a secret against something that is not written there itself."""
    sides = [node.left, *node.comparators]
    if not any(isinstance(one, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for one in node.ops):
        return False
    return not any(isinstance(side, ast.Constant) for side in sides) and any(SECRET.search(_name(s)) for s in sides)


def _name(node: ast.expr) -> str:
    """What it is called that is compared: of `bytes(row.digest)` and `token[:9]` it is `digest`, and `token`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Name(id="bytes" | "str" | "memoryview"), args=[value, *_]):
            return _name(value)
        case ast.Call(func=function):
            return _name(function)
        case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
            return name or _name(value)
        case ast.Subscript(value=value):
            return _name(value)
    return ""


def test_no_secret_is_compared_letter_by_letter():
    assert sorted(set(comparisons()) - KNOWN.keys()) == []


def test_what_is_let_pass_is_still_there():
    assert sorted(KNOWN.keys() - set(comparisons())) == []


@pytest.mark.parametrize(
    "planted",
    [
        *("row.digest == digest", "given != settings.WEIR_OPERATOR_TOKEN", "token in known", "bytes(row.digest) == it"),
        *("row['secret'] == given", "hmac.hexdigest() == given", "key[:9] == secret[:9]", "user.password == password"),
        *("a == b == nonce", "found.session_key not in keys"),
    ],
)
def test_a_violation_is_noticed(tmp_path, planted):
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "new.py").write_text(f"if {planted}:\n    pass\n")
    assert len(list(comparisons(tmp_path))) == 1
