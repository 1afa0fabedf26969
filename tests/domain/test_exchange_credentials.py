"""No error of an exchange holds the credential that the call was made with; no answer is changed for its sake."""

import itertools
import json

import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target
from apps.domain.snapshot import Secret
from tests.domain import anthropic_calls, openai_calls

PAIRS = list(itertools.product(("anthropic_messages", "openai_chat"), repeat=2))
CALLS = {"anthropic_messages": anthropic_calls.call, "openai_chat": openai_calls.call}
KEY = 'Zq"01/23456\\789abcdef'  # of no vendor's shape, and JSON has escapes for some of it
SPELLINGS = {
    "plainly": json.dumps(KEY)[1:-1],
    "with slashes escaped": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "with all of it escaped": "".join(f"\\u{ord(character):04X}" for character in KEY),
}
REFUSED = '{"type":"error","error":{"type":"invalid_request_error","code":"%s","message":"your key %s is no good"}}'
FIRST = {
    "anthropic_messages": anthropic_calls.start(),
    "openai_chat": openai_calls.chunk({"role": "assistant", "content": "hi"}),
}
# What providers of either dialect have for errors in a stream.
EVENTS = {
    "anthropic_messages": (
        f"event: error\ndata: {REFUSED}\n\n",
        f"data: {REFUSED}\r\n\r\n",
        'event: error\ndata: {"type":"invalid_request_error","message":"your key %s%s is no good"}\n\n',
        'data: {"error":{"message":"your key %s%s is no good"}}\n\n',
        "event: error\ndata: your key %s%s is no good\n\n",
    ),
    "openai_chat": (
        f"data: {REFUSED}\n\n",
        f"data: {REFUSED}\r\n\r\n",
        f"data: {REFUSED}",
        'event: error\ndata: {"message":"your key %s%s is no good"}\n\n',
        'data: {"object":"error","message":"your key %s%s is no good","code":400}\n\n',
        "event: error\ndata: your key %s%s is no good\n\n",
    ),
}
PAIRED_EVENTS = [(client, upstream, event) for client, upstream in PAIRS for event in EVENTS[upstream]]


def opened(client, upstream, *, key=KEY, **fields):
    target = Target(protocol=upstream, model="up", max_output_tokens=4096)
    return exchange.open(CALLS[client](**fields), target, cut=Secret(key, host="h").cut_from)


def spelt(template, spelling):
    return (template % (SPELLINGS[spelling], SPELLINGS[spelling])).encode()


def assert_holds_no_key(error, client, *others):
    for told in (str(error), error.message, error.code, error.param):
        assert KEY not in (told or "")
    relayed = registry.CLIENTS[client].write_error(error, request_id="r").body
    for told in (relayed, *others):
        for spelling in SPELLINGS.values():
            assert spelling.encode() not in told
            assert json.loads(f'"{spelling}"').encode() not in told


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_refusal_does_not_hold_it(client, upstream, spelling):
    error = opened(client, upstream).refuse(400, {}, spelt(REFUSED, spelling))
    assert error.message == "your key [removed] is no good"
    assert_holds_no_key(error, client)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_in_the_place_of_an_answer_does_not_hold_it(client, upstream, spelling):
    with pytest.raises(errors.UpstreamRefused) as refused:
        opened(client, upstream).answer(spelt(REFUSED, spelling))
    assert refused.value.message == "your key [removed] is no good"
    assert_holds_no_key(refused.value, client)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("client", "upstream", "event"), PAIRED_EVENTS)
def test_an_error_in_a_stream_does_not_hold_it_however_it_is_split(client, upstream, event, spelling, begun, size):
    stream = (FIRST[upstream] if begun else b"") + spelt(event, spelling)
    relayed = opened(client, upstream, stream=True)
    sent = b"".join(relayed.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + relayed.close()
    assert relayed.seen.error is not None
    assert_holds_no_key(relayed.seen.error, client, sent)
    assert bool(sent) is begun


@pytest.mark.parametrize("protocol", ["anthropic_messages", "openai_chat"])
def test_the_error_event_that_is_relayed_lacks_nothing_else(protocol):
    event = EVENTS[protocol][0]
    relayed = opened(protocol, protocol, stream=True)
    sent = relayed.feed(FIRST[protocol] + spelt(event, "plainly")) + relayed.close()
    end = openai_calls.DONE if protocol == "openai_chat" else b""
    assert sent == FIRST[protocol] + (event % ("[removed]", "[removed]")).encode() + end


@pytest.mark.parametrize("protocol", ["anthropic_messages", "openai_chat"])
@pytest.mark.parametrize("key", ["message", "messages", "prompt_tokens", "input_tokens", "usage"])
def test_an_answer_is_relayed_byte_for_byte_whatever_the_credential_is(protocol, key):
    streams = {
        "anthropic_messages": FIRST[protocol] + anthropic_calls.text(0, f"error {key}") + anthropic_calls.end(),
        "openai_chat": FIRST[protocol]
        + openai_calls.chunk({"content": f'error "{key}"'})
        + openai_calls.chunk(finish="stop", usage=openai_calls.USAGE)
        + openai_calls.DONE,
    }
    relayed = opened(protocol, protocol, key=key, stream=True)
    assert relayed.feed(streams[protocol]) + relayed.close() == streams[protocol]
    assert relayed.seen.usage is not None
    assert relayed.seen.error is None
