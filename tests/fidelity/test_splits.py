"""However an upstream's bytes come, its caller gets the same, for every pair of dialects; and whatever they are, they
end in one clean end."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fidelity import callers, streams
from tests.fidelity.streams import PROTOCOLS

some = settings(
    max_examples=40, derandomize=True, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
)
PAIRS = pytest.mark.parametrize(("client", "upstream"), callers.PAIRS)


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


@PAIRS
@some
@given(data=st.data(), cuts=st.lists(st.integers(0, 1 << 16), max_size=12))
def test_no_split_shows_and_every_stream_has_one_end(client, upstream, data, cuts):
    stream = data.draw(streams.broken(PROTOCOLS[upstream]))
    whole, at_once = callers.fed(client, upstream, [stream])
    pieces, sent = callers.fed(client, upstream, split(stream, cuts))
    assert sent == at_once
    assert msgspec.structs.replace(whole.seen, error=None) == msgspec.structs.replace(pieces.seen, error=None)
    assert repr(whole.seen.error) == repr(pieces.seen.error)
    seen = whole.seen
    if seen.usage is not None:
        assert all(0 <= count <= 10**9 for count in msgspec.structs.astuple(seen.usage))
    assert seen.finished or seen.error is not None
    assert whole.feed(stream[:50]) in (b"", stream[:50])
    if not seen.started:
        assert at_once == b""
    elif (client, upstream) not in callers.RELAYED:
        assert seen.finished == (seen.error is None)
        assert (callers.read(client, at_once).error is None) == seen.finished


@PAIRS
@some
@given(answer=streams.answers)
def test_a_good_answer_is_understood(client, upstream, answer):
    running, sent = callers.fed(client, upstream, [PROTOCOLS[upstream].stream(answer)])
    assert running.seen.error is None
    usage = running.seen.usage
    assert usage is not None
    assert (usage.in_total, usage.out_total) == answer.tokens
    if (client, upstream) in callers.RELAYED:
        return
    told = callers.read(client, sent)
    assert told.error is None
    text, thinking = "".join(answer.text), "".join(answer.thinking)
    if upstream == "openai_chat" and "<think>".startswith(text.lstrip()[:7]):
        return  # such text is looked at for thinking in tags
    assert told.text == text
    if client in ("openai_completions", "prompt"):
        return
    assert told.thinking == thinking
    assert told.arguments == [(name, arguments) for name, arguments in answer.calls]


@pytest.mark.parametrize("upstream", PROTOCOLS)
@settings(some, max_examples=100)
@given(data=st.data())
def test_a_decoder_takes_one_byte_at_a_time(upstream, data):
    stream = data.draw(streams.broken(PROTOCOLS[upstream]))
    for client in ("anthropic_messages", "openai_responses"):
        _, at_once = callers.fed(client, upstream, [stream])
        assert callers.fed(client, upstream, [stream[at : at + 1] for at in range(len(stream))])[1] == at_once
