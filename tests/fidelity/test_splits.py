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
EACH = pytest.mark.parametrize("upstream", PROTOCOLS)


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


@EACH
@some
@given(data=st.data(), cuts=st.lists(st.integers(0, 1 << 16), max_size=12))
def test_no_split_shows_and_every_stream_has_one_end(upstream, data, cuts):
    stream = data.draw(streams.broken(PROTOCOLS[upstream]))
    for client in callers.CLIENTS:
        _check_end(client, upstream, stream, cuts)


def _check_end(client: str, upstream: str, stream: bytes, cuts: list[int]) -> None:
    whole, at_once = callers.fed(client, upstream, [stream])
    pieces, sent = callers.fed(client, upstream, split(stream, cuts))
    assert sent == at_once, client
    assert msgspec.structs.replace(whole.seen, error=None) == msgspec.structs.replace(pieces.seen, error=None), client
    assert repr(whole.seen.error) == repr(pieces.seen.error), client
    seen = whole.seen
    if seen.usage is not None:
        assert all(0 <= count <= 10**9 for count in msgspec.structs.astuple(seen.usage)), client
    assert seen.finished or seen.error is not None, client
    assert whole.feed(stream[:50]) in (b"", stream[:50]), client
    if not seen.started:
        assert at_once == b"", client
    elif (client, upstream) not in callers.RELAYED:
        assert seen.finished == (seen.error is None), client
        assert (callers.read(client, at_once).error is None) == seen.finished, client


@EACH
@some
@given(answer=streams.answers)
def test_a_good_answer_is_understood(upstream, answer):
    stream = PROTOCOLS[upstream].stream(answer)
    for client in callers.CLIENTS:
        running, sent = callers.fed(client, upstream, [stream])
        assert running.seen.error is None, client
        usage = running.seen.usage
        assert usage is not None, client
        assert (usage.in_total, usage.out_total) == answer.tokens, client
        if (client, upstream) not in callers.RELAYED:
            _check_told(client, upstream, sent, answer=answer)


def _check_told(client: str, upstream: str, sent: bytes, *, answer: streams.Answer) -> None:
    told = callers.read(client, sent)
    assert told.error is None, client
    text, thinking = "".join(answer.text), "".join(answer.thinking)
    if upstream == "openai_chat" and "<think>".startswith(text.lstrip()[:7]):
        return  # such text is looked at for thinking in tags
    assert told.text == text, client
    if client in ("openai_completions", "prompt"):
        return
    assert told.thinking == thinking, client
    assert told.arguments == [(name, arguments) for name, arguments in answer.calls], client


@EACH
@some
@given(data=st.data())
def test_a_decoder_takes_one_byte_at_a_time(upstream, data):
    stream = data.draw(streams.broken(PROTOCOLS[upstream]))
    single = [stream[at : at + 1] for at in range(len(stream))]
    for client in ("anthropic_messages", "openai_responses"):
        _, at_once = callers.fed(client, upstream, [stream])
        assert callers.fed(client, upstream, single)[1] == at_once, client
