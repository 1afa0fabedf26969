"""However something is put into a request of whatever dialect, it is found, and is gone when it is masked."""

from __future__ import annotations

import base64
import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.guardrails import reading
from apps.domain.guardrails.kinds import KINDS
from apps.domain.guardrails.scan import scan

VALUES = {
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "email": "someone@example.com",
    "phone": "+49 30 123456789",
    "national_id": "123-45-6788",
    "secret": "AKIAIOSFODNN7EXAMPLE",
}


def _base64(text):
    return base64.b64encode(text.encode()).decode()


def _escaped(value):
    return "".join(f"\\u{ord(character):04x}" for character in value)


def _message(content):
    return {"messages": [{"role": "user", "content": content}]}


def _anthropic(block):
    return _message([{"type": "text", "text": "Look:"}, block])


def _source(**fields):
    return _anthropic({"type": "document", "source": fields})


def _called(arguments):
    return {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}


ENCODINGS = {
    "a text": _message,
    "a system prompt": lambda value: {"system": [{"type": "text", "text": f"You know {value}."}]},
    "instructions": lambda value: {"instructions": f"You know {value}.", "input": "Hello."},
    "a tool's result": lambda value: _anthropic({"type": "tool_result", "content": [{"type": "text", "text": value}]}),
    "a tool's message": lambda value: {"messages": [{"role": "tool", "tool_call_id": "c", "content": value}]},
    "a function's output": lambda value: {"input": [{"type": "function_call_output", "output": value}]},
    "what a tool is given": lambda value: _anthropic({"type": "tool_use", "input": {"deep": [{"in": value}]}}),
    "arguments": lambda value: {"messages": [_called(json.dumps({"to": value}))]},
    "arguments that escape": lambda value: {"messages": [_called('{"to":"\\"' + _escaped(value) + '"}')]},
    "a tool's description": lambda value: {"tools": [{"function": {"name": "f", "description": f"Ask {value}."}}]},
    "a schema's key": lambda value: {"tools": [{"input_schema": {"properties": {value: {"type": "string"}}}}]},
    "a plain document": lambda value: _source(type="text", media_type="text/plain", data=value),
    "a document": lambda value: _source(type="base64", media_type="text/plain", data=_base64(f"It is {value}.")),
    "a document that says it is a PDF": lambda value: _source(
        type="base64", media_type="application/pdf", data=_base64(f"A long enough text: {value}")
    ),
    "a document in lines": lambda value: _source(
        type="base64", data=base64.encodebytes(f"A long text {value} {'.' * 90}".encode()).decode()
    ),
    "a data URL": lambda value: {
        "input": [{"content": [{"type": "input_file", "file_data": f"data:text/plain;base64,{_base64(value)}"}]}]
    },
    "a data URL in the letters for URLs": lambda value: _message(
        [{"file": {"file_data": "data:;base64," + base64.urlsafe_b64encode(f"?>?>{value} ".encode()).decode()}}]
    ),
    "a data URL in plain letters": lambda value: _message([{"file": {"file_data": f"data:text/csv,n,{value}"}}]),
    "a file's name": lambda value: _message([{"file": {"filename": f"of {value} .txt", "file_id": "f"}}]),
    "a prompt": lambda value: {"prompt": ["Hello", value]},
    "what is to be embedded": lambda value: {"input": value},
    "thinking": lambda value: _anthropic({"type": "thinking", "thinking": value, "signature": "c2lnbmF0dXJl" * 60}),
    "a document no longer than that": lambda value: _source(
        type="base64", media_type="text/plain", data=_base64(value)
    ),
    "a document in letters that are none": lambda value: _source(
        type="base64", media_type="text/plain", data="!".join(_base64(f"A long enough text: {value}"))
    ),
    "a document in Latin-1": lambda value: _source(
        type="base64", data=base64.b64encode(f"F\xfcr {value} {'.' * 900}".encode("latin-1")).decode()
    ),
    "a document in UTF-16": lambda value: _source(
        type="base64", data=base64.b64encode(f"A text: {value} {'.' * 900}".encode("utf-16-le")).decode()
    ),
    "a document behind padding": lambda value: _source(type="base64", data=_base64("ab c.") + _base64(f": {value}")),
    "a file without a URL": lambda value: _message([{"file": {"file_data": _base64(value)}}]),
    "a data URL that says much": lambda value: _message(
        [{"file": {"file_data": f" data:text/plain{';a=b' * 12};base64;c=d,{_base64(f'A long text: {value}')}"}}]
    ),
    "what says that it is a picture": lambda value: _anthropic(
        {"type": "tool_use", "input": {"media_type": "image/png", "data": f"{'A' * 24} {value}"}}
    ),
    "arguments behind a blank": lambda value: {"messages": [_called(' {"to":"\\n' + _escaped(value) + '"}')]},
    "arguments that end too soon": lambda value: {"messages": [_called('{"to":"It is ' + _escaped(value) + " or")]},
    "emphasis": lambda value: _message(f"__{value}__"),
    "a picture's neighbour": lambda value: _anthropic(
        {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo" * 90, "title": value + " " * 600}
    ),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_hides_a_finding_and_none_survives_masking(encoding):
    for kind, value in VALUES.items():
        plain = json.dumps(ENCODINGS[encoding](value))
        wholly = plain.replace(json.dumps(value)[1:-1], _escaped(value))
        for body in (plain.encode(), wholly.encode()):
            assert reading.count(body, KINDS) == {kind: 1}, kind
            masked = reading.masked(body, KINDS)
            assert not reading.count(masked, KINDS), kind
            assert value not in masked.decode()
            assert json.loads(masked).keys() == json.loads(body).keys()


UNSEEN = ("\u00ad", "\u200b", "\u200d", "\u200e", "\u2060", "\ufe0f", "\u034f", "\U000e0001")
DIGITS = ("\u0660", "\u0966", "\uff10", "\U0001d7ce", "\U0001d7f6", "\U000e0030")


def _with_digits(value, zero):
    return "".join(chr(ord(zero) + int(each)) if each.isdigit() else each for each in value)


def test_what_nobody_sees_and_digits_of_other_scripts_hide_nothing_and_are_masked_in_their_place():
    for kind, value in VALUES.items():
        looks = [value[:place] + unseen + value[place:] for unseen in UNSEEN for place in (1, 7, len(value) - 1)]
        looks += [unseen.join(value) for unseen in UNSEEN]
        looks += [_with_digits(value, zero) for zero in DIGITS]
        for look in looks:
            body = json.dumps(_message(f"Caf\u00e9\u200b: \u200b{look}\u200b.")).encode()
            assert reading.count(body, KINDS) == {kind: 1}, (kind, ascii(look))
            said = json.loads(reading.masked(body, KINDS))["messages"][0]["content"]
            assert said == f"Caf\u00e9\u200b: \u200b[{kind}]\u200b.", (kind, ascii(look))


def test_a_data_url_in_the_midst_of_a_text_is_opened():
    for kind, value in VALUES.items():
        url = f"data:text/plain;base64,{_base64(f'A text: {value}')}"
        assert reading.count(json.dumps(_message(f"See [it]({url}).")).encode(), KINDS) == {kind: 1}


def test_a_key_that_comes_twice_hides_nothing():
    body = b'{"messages":[{"role":"user","content":"4111111111111111","conten\\u0074":"Hello."}]}'
    with pytest.raises(msgspec.DecodeError, match="twice"):
        reading.count(body, KINDS)
    arguments = '{"a\\u0041":"4111111111111111","aA":"x"}'
    body = json.dumps({"messages": [_called(arguments)], "of \\": {'"quoted": \\"': 'no "key": \\'}}).encode()
    assert reading.count(body, KINDS) == {"card": 1}
    assert reading.count(reading.masked(body, KINDS), KINDS) == {"card": 1}, "whoever masks counts again, and blocks"


SEAMS = {
    "blocks of a message": lambda parts: _message([{"type": "text", "text": part} for part in parts]),
    "a system prompt": lambda parts: {"system": [{"type": "text", "text": part} for part in parts]},
    "a tool's result": lambda parts: _anthropic(
        {"type": "tool_result", "content": [{"type": "text", "text": part} for part in parts]}
    ),
    "messages of several blocks": lambda parts: {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": part}, {"type": "text", "text": " and so"}][::step]}
            for part, step in zip(parts, (-1, 1), strict=True)
        ]
    },
    "thinking": lambda parts: _anthropic({"content": [{"thinking": part} for part in parts]}),
    "items": lambda parts: {"input": [{"role": "user", "content": part} for part in parts]},
    "items' parts": lambda parts: {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": part}]} for part in parts]
    },
}


@pytest.mark.parametrize("where", SEAMS)
def test_what_is_split_between_neighbours_is_found_wherever_it_is_cut(where):
    for kind, value in VALUES.items():
        for cut in range(1, len(value)):
            body = json.dumps(SEAMS[where](["So: " + value[:cut], value[cut:] + ", or not"])).encode()
            found = reading.count(body, KINDS)
            assert found[kind] >= 1, (kind, value[:cut])
        far = json.dumps(SEAMS[where](["x" * 9000 + " " + value[:9], value[9:] + " " + "x" * 9000])).encode()
        assert reading.count(far, KINDS)[kind] == 1
    if where == "messages of several blocks":
        return
    spelt = json.dumps(SEAMS[where](list("4111111111111111"))).encode()
    assert reading.count(spelt, KINDS) == {"card": 1}


def test_what_two_speakers_say_is_not_one_text():
    body = {"messages": [{"role": "user", "content": "4111 1111"}, {"role": "assistant", "content": " 1111 1111"}]}
    assert not reading.count(json.dumps(body).encode(), KINDS)


def test_numbers_count_as_they_are_written_and_pictures_are_not_read():
    card = '{"input":{"card":4111111111111111,"price":4.111111111111111,"is":true,"id":9007199254740993}}'
    assert reading.count(card.encode(), KINDS) == {"card": 1}
    assert reading.masked(card.encode(), KINDS) == card.replace("4111111111111111", '"[card]"').encode()
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + VALUES["card"].encode() * 9).decode()
    picture = {"type": "image", "source": {"media_type": "image/png", "data": data}}
    for block in ({"image_url": {"url": f"data:image/png;base64,{data}"}}, picture):
        assert not reading.count(json.dumps(_message([block])).encode(), KINDS)


def test_numbers_in_lists_and_of_nine_digits_and_escapes_in_a_key_are_read():
    assert reading.count(b'{"input":[null,true,7,4111111111111111,null]}', KINDS) == {"card": 1}
    assert reading.count(b'{"input":{"ssn":123456788}}', KINDS) == {"national_id": 1}
    assert reading.count(json.dumps({"input": {_escaped(VALUES["card"]): "so"}}).encode(), KINDS) == {"card": 1}


def test_a_long_text_is_read_in_pieces_of_which_none_counts_twice_and_no_border_hides_anything():
    card = "4111111111111111"
    for place in (reading.BATCH - 17, reading.BATCH - 8, reading.BATCH - 1, reading.BATCH, 2 * reading.BATCH + 5):
        text = "x " * (place // 2) + card + " y" * (3 * reading.BATCH)
        passages = list(reading.passages(json.dumps(_message(text)).encode()))
        assert len(passages) > 3
        assert sum(len(passage(KINDS)) for passage in passages) == 1, place


def test_masking_leaves_every_other_number_as_it_was_written():
    numbers = "[1.10,1e5,-0.0,1E+2,12345678901234567890123,1.7976931348623157e308,5e-324,4.1,3,true,null]"
    inner = json.dumps(f'{{"to":"\\n{VALUES["card"]}","of":[NaN,-Infinity,1e999,1.10]}}')
    body = f'{{"messages":[{{"role":"user","content":"{VALUES["card"]}"}}],"of":{numbers},"arguments":{inner}}}'
    assert reading.masked(body.encode(), KINDS).decode() == body.replace(VALUES["card"], "[card]").replace(
        '\\"of\\": ', '\\"of\\":'
    )
    assert reading.masked(b'{"n":[4111111111111111.0,4.111111111111111e15,0.5]}', KINDS) == (
        b'{"n":["[card]","[card]",0.5]}'
    )


def test_keys_that_are_masked_alike_stay_keys_of_their_own():
    cards = ["4111 1111 1111 1111", "5555 5555 5555 4444", "4012 8888 8888 1881"]
    body = {"input": {"[card] 3": "a", **{card: number for number, card in enumerate(cards)}, "[card]": "b"}}
    masked = json.loads(reading.masked(json.dumps(body).encode(), KINDS))["input"]
    assert masked == {"[card] 3": "a", "[card] 2": 0, "[card] 4": 1, "[card] 5": 2, "[card]": "b"}
    assert list(masked.values()) == ["a", 0, 1, 2, "b"]
    assert not reading.count(json.dumps(masked).encode(), KINDS)
    many = {f"{4_000_000_000_000_000 + 10 * number}": 1 for number in range(1_000)}
    written = json.dumps(many).encode()
    assert len(json.loads(reading.masked(written, {"card"}))) == len(many)


def test_a_number_out_of_range_is_never_taken_for_clean():
    for number in (b"1e999", b"-1e999", b"1" * 400 + b".5"):
        with pytest.raises(msgspec.DecodeError, match="out of range"):
            reading.count(b'{"temperature":%b,"input":"Hello."}' % number, KINDS)


SAYINGS = st.sampled_from(
    ["", "a word", 'with "quotes" and \\ in it', "Gr\u00fc\u00dfe, \u5361\u53f7", "4111 1111", "12:30", "{not JSON"]
    + [f"So: {value}, or not." for value in VALUES.values()]
)
BODIES = st.recursive(
    SAYINGS | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(SAYINGS | st.sampled_from(["text", "content", "role", "input"]), inner, max_size=4)
    ),
    max_leaves=24,
)


def _strings(value):
    """All there are, by the simplest of readings."""
    if isinstance(value, str):
        yield value
    for inner in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["system", "messages", "input", "tools"]), BODIES, max_size=4), st.booleans())
def test_of_any_json_just_what_is_in_its_strings_is_found_and_masked(body, escapes):
    written = json.dumps(body, ensure_ascii=escapes).encode()
    expected = Counter(found.kind for text in _strings(json.loads(written)) for found in scan(text, KINDS))
    assert reading.count(written, KINDS) == expected
    assert not reading.count(masked := reading.masked(written, KINDS), KINDS)
    if not expected:
        assert json.loads(masked) == json.loads(written)
