"""Exact edits of a JSON object."""

import json
import tracemalloc

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.domain.errors import InvalidRequest
from apps.domain.protocols import splice
from apps.domain.protocols.anthropic_messages import request as anthropic_request
from apps.domain.protocols.openai_chat import request as openai_request

ODD = (
    b' {\n "model" :  "claude-x" ,\t"messages":[ {"content":"a \\"model\\": \\"y\\""} ],'
    b' "\\u006dax_tokens": 1e2,"z":{}\n} \n'
)


def test_only_the_named_value_changes():
    assert splice.edit(ODD, {"model": b'"up"'}) == ODD.replace(b'"claude-x"', b'"up"')


def test_an_escaped_key_is_the_key_it_stands_for():
    assert splice.edit(ODD, {"max_tokens": b"7"}) == ODD.replace(b"1e2", b"7")


def test_a_missing_member_is_added_behind_the_last_value():
    edited = splice.edit(ODD, {"stream": b"true", "n": b"[1]"})
    assert edited == ODD.replace(b'"z":{}', b'"z":{},"stream":true,"n":[1]')


def test_an_empty_object_takes_a_member():
    assert splice.edit(b"{ }", {"a": b"1"}) == b'{"a":1 }'
    assert json.loads(splice.edit(b"{}", {"a": b"1", "b": b"2"})) == {"a": 1, "b": 2}


def test_a_member_leaves_and_takes_its_comma_along():
    assert splice.edit(ODD, {}, without={"messages"}) == (
        b' {\n "model" :  "claude-x", "\\u006dax_tokens": 1e2,"z":{}\n} \n'
    )
    assert splice.edit(ODD, {}, without={"model"}).startswith(b' {\t"messages":[')
    assert splice.edit(ODD, {}, without={"z"}).endswith(b'"\\u006dax_tokens": 1e2\n} \n')
    assert splice.edit(ODD, {}, without={"absent"}) == ODD
    assert splice.edit(ODD, {"n": b"1"}, without={"model", "messages", "max_tokens", "z"}) == b' {"n":1\n} \n'


def test_members_are_told_as_they_were_written():
    members = splice.read(ODD)
    assert members.raw("messages") == b'[ {"content":"a \\"model\\": \\"y\\""} ]'
    assert members.raw("absent") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def _alike(document):
    """Keys that differ in case only, which are refused."""
    return len({name.casefold() for name in document}) < len(document)


@given(
    st.dictionaries(st.text(), JSON),
    st.dictionaries(st.text(), JSON, max_size=3),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_an_edit_is_an_update(document, changes, indent, ascii_only):
    body = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    try:
        body = body.encode()
    except UnicodeEncodeError:
        return
    assume(not _alike(document))
    written = {name: json.dumps(value).encode() for name, value in changes.items()}
    assert json.loads(splice.edit(body, written)) == {**document, **changes}
    assert splice.edit(body, {}) == body
    gone = set(list(document)[::2])
    left = {name: value for name, value in document.items() if name not in gone}
    assert json.loads(splice.edit(body, written, without=gone)) == {**left, **changes}
    assert list(json.loads(splice.edit(body, {}, without=gone)).items()) == list(left.items())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"a"}',
        b'{"model":"a","model":"b"}',
        b'{"model":1,"model":12}',
        b'{"model":12,"model":1}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"model":"x","y":"\\",\\"model\\":","model":"x\\",\\"y\\":"}',
        b'{"model":"a","Model":"b"}',
        b'{"MODEL":"a","model":"b"}',
        '{"stream":true,"\u017ftream":false,"model":1, "\u006dodel":2}'.encode(),
    ],
)
def test_a_key_that_comes_twice_is_refused_by_name(body):
    with pytest.raises(InvalidRequest) as caught:
        splice.read(body)
    assert caught.value.param is not None
    assert caught.value.param.lower() == "model"


def test_the_second_of_two_keys_is_named_whatever_others_there_are():
    with pytest.raises(InvalidRequest) as refused:
        splice.read(b'{"X-Meta":1,"model":"a","Stream":true,"Model":"b"}')
    assert refused.value.param == "Model"


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (anthropic_request.read_request, "Stream"),
        (anthropic_request.read_request, "TOP_K"),
        (openai_request.read_request, "Stream"),
        (openai_request.read_request, "N"),
    ],
)
def test_a_field_in_other_letters_is_refused(read, name):
    given = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    assert read(json.dumps({**given, "X-Other": 1}).encode())
    with pytest.raises(InvalidRequest) as refused:
        read(json.dumps({**given, name: 1}).encode())
    assert refused.value.param == name


def test_a_key_may_come_twice_deeper_down():
    assert splice.read(b'{"a":{"b":1,"b":2}}').raw("a") == b'{"b":1,"b":2}'


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"[]", b"null", b'"x"', b"{", b'{"a":}', b'{"a":1}x', b'{"a":NaN}', b"{'a':1}", b'{"a":1,}'],
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(InvalidRequest):
        splice.read(body)


@pytest.mark.parametrize("body", [b'{"a":"\xff"}', b'{"\xc3":1}', '{"ä":1}'.encode("utf-16")])
def test_what_is_not_utf8_is_refused_and_not_echoed(body):
    with pytest.raises(InvalidRequest) as caught:
        splice.read(body)
    assert caught.value.message.isascii()


@pytest.mark.parametrize(
    "body", [b'{"a":"\\ud800"}', b'{"\\ud800":1}', b'{"a":["\\udc00x"]}', b'{"a":"\\ud83d\\ud83d\\ude00"}']
)
def test_half_a_character_is_named(body):
    with pytest.raises(InvalidRequest, match="surrogate"):
        splice.read(body)


def test_whole_characters_and_escaped_backslashes_are_no_halves():
    body = b'{"a":"\\ud83d\\ude00","b":"\\\\ud800"}'
    assert splice.read(body).body == body
    with pytest.raises(InvalidRequest, match="malformed"):
        splice.read(body[:-1] + b",}")


def test_a_key_of_a_megabyte_is_read_in_little_memory():
    raw = b'{ "' + b'\\"' * 500_000 + b'" :1}'
    tracemalloc.start()
    try:
        splice.read(raw)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(raw)
    finally:
        tracemalloc.stop()
