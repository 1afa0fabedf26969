"""Every setting is declared, in words; the page that tells of them is made of that and of the code that reads them."""

from __future__ import annotations

import ast

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway_site import env, reference
from gateway_site.declared import SECTIONS, Setting


def reading(call: str) -> reference.Reading:
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Attribute)
    keywords = {word.arg: word.value for word in node.keywords if word.arg}
    return reference.Reading(node.func.attr, tuple(node.args[1:]), keywords)


def told(call: str, **declared: str) -> tuple[str, str]:
    setting = Setting("WEIR_A", "A", **declared)
    return reference.kind(setting, reading(call)), reference.default(setting, reading(call))


def test_the_page_is_what_code_and_declarations_say():
    page = reference.PAGE.read_text(encoding="utf-8")
    assert reference.written(page) == page, "Run: make config-docs"


def test_all_that_is_read_is_declared_and_all_that_is_declared_is_read():
    found = reference.readings()
    assert {"WEIR_PROFILE", "WEIR_KEYRING", "PORT", "WEIR_FAULTS", "DATABASE_URL"} <= found.keys()
    assert [*reference.mistakes(found)] == []


def test_every_meaning_is_a_paragraph_of_its_own():
    meanings = [" ".join(setting.meaning.split()) for section in SECTIONS for setting in section.settings]
    assert [meaning for meaning in meanings if len(meaning) < 15 or "|" in meaning] == []
    assert len(set(meanings)) == len(meanings)


def test_a_setting_that_is_not_declared_cannot_be_read():
    with pytest.raises(ImproperlyConfigured, match="WEIR_NOBODY_KNOWS is read, and declared nowhere"):
        env.text("WEIR_NOBODY_KNOWS", "")
    with pytest.raises(ImproperlyConfigured, match="WEIR_NOBODY_KNOWS"):
        env.flag("WEIR_NOBODY_KNOWS", False)


def test_settings_that_only_one_side_knows_are_found(tmp_path):
    (tmp_path / "settings.py").write_text("A = env.text('WEIR_A', '')\nB = other.text('WEIR_B', '')\n")
    (tmp_path / "env.py").write_text("C = _env.str('WEIR_C', 'c')\n")
    found = reference.readings(tmp_path)
    assert found.keys() == {"WEIR_A", "WEIR_C"}
    mistakes = [*reference.mistakes(found)]
    assert "WEIR_A is read, and declared nowhere below gateway_site/declared." in mistakes
    assert "WEIR_KEYRING is declared, and read by nothing." in mistakes


@pytest.mark.parametrize(
    ("call", "kind", "default"),
    [
        ("env.text('WEIR_A', '')", "text", "none"),
        ("env.embedded('WEIR_A', 'here')", "address", "`here`; production: **required**"),
        ("env.number('WEIR_A', 10.0 if env.PRODUCTION else 0.5)", "number", "0.5; production: 10"),
        ("env.integer('WEIR_A', 32 * 1024)", "whole number", "32768"),
        ("env.integer('WEIR_A', 3, least=1)", "whole number, 1 or more", "3"),
        ("env.integer('WEIR_A', 3, least=1, most=9)", "whole number, 1 to 9", "3"),
        ("env.flag('WEIR_A', True)", "on or off", "on"),
        ("env.choice('WEIR_A', 'a', 'b', 'c')", "`a`, `b` or `c`", "`a`"),
        ("env.words('WEIR_A', ['x', 'y'])", "list", "`x`, `y`"),
        ("env.networks('WEIR_A')", "list of ranges", "none"),
        ("env.secret('WEIR_A')", "secret", "made once, in `WEIR_VAR`; production: **required**"),
        ("env.secret('WEIR_A', required=False)", "secret", "none"),
    ],
)
def test_kind_and_default_are_read_off_the_code(call, kind, default):
    assert told(call) == (kind, default)


def test_a_default_that_is_worked_out_must_be_told_and_one_that_is_not_may_not():
    assert told("env.text('WEIR_A', str(FOLDER / 'a'))", default="a folder") == ("text", "a folder")
    with pytest.raises(reference.Untold, match="worked out"):
        told("env.text('WEIR_A', str(FOLDER / 'a'))")
    with pytest.raises(reference.Untold, match="another one"):
        told("env.text('WEIR_A', 'a')", default="b")
