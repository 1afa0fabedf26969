"""A secret comes out of its object by one way only, and for its own host only."""

from __future__ import annotations

import copy
import json
import pickle
import traceback

import msgspec
import pytest

from apps.domain.snapshot import Credential, Secret

CANARY = "sk-ant-canary-0123456789"
SECRET = Secret(CANARY, host="api.example.com")
CREDENTIAL = Credential(id=1, alias="main", secret=SECRET)


def test_it_is_revealed_for_its_own_host_only():
    assert SECRET.reveal_for("api.example.com") == CANARY
    for other in ("evil.example.com", "API.example.com", ""):
        with pytest.raises(ValueError) as refused:
            SECRET.reveal_for(other)
        assert CANARY not in str(refused.value)


def test_it_is_cut_from_what_a_provider_says():
    assert SECRET.cut_from(f"key {CANARY}, yes {CANARY}".encode()) == b"key [removed], yes [removed]"
    assert SECRET.cut_from(b"nothing of it") == b"nothing of it"


def test_it_is_cut_out_however_json_spells_it():
    secret = Secret('a/b"c\\d.e+f', host="h")
    for spelt in (rb"a/b\"c\\d.e+f", rb"a\/b\"c\\d.e\u002bf", rb"\u0061\u002Fb\u0022c\u005cd.e+f"):
        assert secret.cut_from(b'{"key": "%b"}' % spelt) == b'{"key": "[removed]"}'
    other = rb'{"key": "a\/b\"c\\dxe+f"}'
    assert secret.cut_from(other) == other


@pytest.mark.parametrize("word", ["", "EMPTY", "token", "message"])
def test_a_word_that_serves_as_one_stays(word):
    told = b'{"message": "no token", "EMPTY": "\\n"}'
    assert Secret(word, host="h").cut_from(told) == told


@pytest.mark.parametrize(
    "shown",
    [repr, str, ascii, "{}".format, "{!r}".format, "{0!s:>40}".format, lambda value: f"{value!r:>40}"],
)
def test_no_rendering_shows_it(shown):
    assert CANARY not in shown(SECRET)
    assert CANARY not in shown(CREDENTIAL)


def test_a_traceback_with_its_variables_does_not_show_it():
    try:
        secret, credential = SECRET, CREDENTIAL
        raise RuntimeError(f"{secret} {credential}")
    except RuntimeError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(told.format())
    assert "credential" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "encode",
    [
        *(pickle.dumps, json.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, msgspec.msgpack.encode),
        *(msgspec.to_builtins, vars, dict, list, bytes, Secret.__getstate__),
    ],
)
def test_nothing_encodes_or_copies_it(encode):
    with pytest.raises(TypeError):
        encode(SECRET)


@pytest.mark.parametrize("encode", [pickle.dumps, copy.deepcopy, msgspec.json.encode, msgspec.to_builtins])
def test_nothing_encodes_what_holds_it(encode):
    with pytest.raises(TypeError):
        encode(CREDENTIAL)
