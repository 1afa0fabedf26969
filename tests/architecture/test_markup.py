"""What people, programs and providers say is never taken for markup: no text of ours is called safe but constants, no
template lets data out unescaped or into a script, and no script makes markup of what it is told."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import tree

pytestmark = pytest.mark.attack("F30")

SAFE = {"mark_safe", "SafeString", "SafeText", "html_safe", "Markup"}
PATTERNS = {"format_html": 0, "format_html_join": 1}
TEMPLATES = {"Template", "from_string"}
# Each with its reason.
PYTHON_MAY = {
    ("apps/audit/choices.py", "mark_safe"): "a list of choices, each part of which is escaped before",
    ("apps/audit/templatetags/rows.py", "SafeString"): "the text of a link that was escaped, without the link",
}
TEMPLATES_MAY = {
    ("templates/alerts/notice.txt", "autoescape"): "mail that is plain text",
    ("templates/portal/invitation.txt", "autoescape"): "mail that is plain text",
    ("templates/admin/actions.html", "style"): "the theme's own, of a number that a script has measured",
}
SCRIPTS_MAY = {
    ("static/admin/check.js", "outerHTML"): "a row that a template of ours has made",
    ("static/admin/connection.js", "outerHTML"): "a row that a template of ours has made",
    ("static/admin/connection.js", "innerHTML"): "a list that a template of ours has made",
    ("static/portal/playground.js", "DOMParser"): "code that a template of ours has made",
}
IN_TEMPLATES = {
    "autoescape": r"autoescape\s+off",
    "safe": r"\|\s*safe(?:seq)?\b",
    "handler": r"<[^>]*\son[a-z]+\s*=",
    "javascript": r"(?i)javascript:",
    "script": r"<script(?![^>]*\ssrc=)(?![^>]*type=\"application/json\")",
    "style": r"style\s*=\s*\"[^\"]*(?:\{\{|' \+)",
    "unquoted": r"\s[\w:-]+=\{\{",
}
IN_SCRIPTS = {
    name: rf"\b{name}\b"
    for name in (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "srcdoc", "DOMParser", "eval"),
        *("Function", "importScripts", "setHTMLUnsafe", "parseHTMLUnsafe"),
    )
}
IN_SCRIPTS["a text that is run"] = r"\bset(?:Timeout|Interval)\(\s*[\"'`]"
IN_SCRIPTS["write"] = r"\bdocument\.write(?:ln)?\("


def in_python(path: Path) -> Iterator[str]:
    """Names of what makes markup of something that is no constant."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "autoescape":
            yield "autoescape"
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        told = node.args[PATTERNS.get(name, 0)] if len(node.args) > PATTERNS.get(name, 0) else None
        if name in SAFE | PATTERNS.keys() | TEMPLATES and told is not None and not is_constant(told):
            yield name


def is_constant(node: ast.expr) -> bool:
    """A text that is written there, or a constant's name. Of what is put together each part must be one."""
    if isinstance(node, ast.BinOp):
        return is_constant(node.left) and is_constant(node.right)
    if isinstance(node, ast.IfExp):
        return is_constant(node.body) and is_constant(node.orelse)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return isinstance(node, ast.Constant) or name.isupper()


def in_text(path: Path, patterns: dict[str, str]) -> Iterator[str]:
    text = re.sub(r"\{#.*?#\}|^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    yield from (name for name, pattern in patterns.items() if re.search(pattern, text))


def ours(folder: str, *endings: str) -> list[Path]:
    files = [path for path in sorted((tree.ROOT / folder).rglob("*")) if path.suffix in endings]
    return [path for path in files if "vendor" not in path.parts]


def found(paths: list[Path], look: Iterator[str] | object) -> set[tuple[str, str]]:
    return {(path.relative_to(tree.ROOT).as_posix(), name) for path in paths for name in look(path)}  # type: ignore[operator]


def test_no_text_is_called_safe_but_constants(figure):
    paths = [path for folder in ("apps", "gateway_site") for path in ours(folder, ".py")]
    assert found(paths, in_python) == PYTHON_MAY.keys()
    figure("F30", "modules that call no data safe", len(paths), least=300)


def test_no_template_lets_data_out_as_it_is(figure):
    paths = ours("templates", ".html", ".txt")
    assert found(paths, lambda path: in_text(path, IN_TEMPLATES)) == TEMPLATES_MAY.keys()
    figure("F30", "templates that let no data out as it is", len(paths), least=120)


def test_no_script_makes_markup_of_what_it_is_told():
    paths = ours("static", ".js")
    assert len(paths) > 10
    assert found(paths, lambda path: in_text(path, IN_SCRIPTS)) == SCRIPTS_MAY.keys()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mark_safe(row.name)", "mark_safe"),
        ("SafeString(f'<b>{name}</b>')", "SafeString"),
        ("format_html(f'<b>{name}</b>')", "format_html"),
        ("format_html('<b>%s</b>' % name)", "format_html"),
        ("format_html_join('', text, rows)", "format_html_join"),
        ("Template(row.text)", "Template"),
        ("Engine(autoescape=False)", "autoescape"),
    ],
)
def test_what_would_call_data_safe_is_found(tmp_path, text, name):
    (tmp_path / "one.py").write_text(f"{text}\nformat_html(LINK, name)\nformat_html('<b>{{}}</b>', name)\n")
    assert list(in_python(tmp_path / "one.py")) == [name]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ name|safe }}", "safe"),
        ("{% autoescape off %}", "autoescape"),
        ('<a onclick="go()">', "handler"),
        ('<a href="JavaScript:go()">', "javascript"),
        ("<script>let name = '{{ name }}';</script>", "script"),
        ('<p style="color: {{ colour }}">', "style"),
        ("<p class={{ name }}>", "unquoted"),
    ],
)
def test_a_template_that_lets_data_out_is_found(tmp_path, text, name):
    (tmp_path / "one.html").write_text(f'<p class="{{{{ name }}}}">{{# |safe #}}</p>{text}')
    assert list(in_text(tmp_path / "one.html", IN_TEMPLATES)) == [name]


@pytest.mark.parametrize("text", ["a.innerHTML = b", "document.write(b)", "eval(b)", "setTimeout('b()', 5)"])
def test_a_script_that_makes_markup_is_found(tmp_path, text):
    (tmp_path / "one.js").write_text(f"a.textContent = b;\n{text};\n")
    assert list(in_text(tmp_path / "one.js", IN_SCRIPTS))
