"""Bedrock refusing, breaking and checking who asks, as AWS's own SDK sees it."""

from __future__ import annotations

import contextlib

import httpx2
import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError

from apps.simulator.bedrock import signature
from tests.sdk import worlds
from tests.simulator import aws
from tests.simulator.aws import CLAUDE, HELLO, NOVA, VERSION, kinds


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("400", "ValidationException", 400),
        ("401", "UnrecognizedClientException", 403),
        ("403", "AccessDeniedException", 403),
        ("404", "ResourceNotFoundException", 404),
        ("408", "ModelTimeoutException", 408),
        ("424", "ModelErrorException", 424),
        ("429", "ThrottlingException", 429),
        ("500", "InternalServerException", 500),
        ("503", "ServiceUnavailableException", 503),
        ("529", "ServiceUnavailableException", 503),
    ],
)
def test_scripted_refusals_are_exceptions_that_botocore_knows(conversed, word, kind, status):
    with pytest.raises(ClientError) as raised:
        conversed(f"anthropic.claude-{word}-v1:0")
    assert raised.value.response["Error"]["Code"] == kind
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert raised.value.response["Error"]["Message"]


def test_too_long_a_prompt_is_refused_in_the_words_of_its_family(conversed):
    for model, message in (
        ("anthropic.claude-overflow-v1:0", "^.*: Input is too long for requested model.$"),
        ("amazon.nova-overflow-v1:0", "Input Tokens Exceeded: Number of input tokens exceeds maximum length"),
    ):
        with pytest.raises(ClientError, match=message):
            conversed(model)


@pytest.mark.parametrize(
    ("words", "kind"),
    [("error-after-4", "modelStreamErrorException"), ("throttled-error-after-4", "throttlingException")],
)
def test_an_exception_in_the_middle_of_a_stream_is_raised(streamed, converse_events, words, kind):
    for ask in (streamed, converse_events):
        with pytest.raises(EventStreamError) as raised:
            ask(f"anthropic.claude-{words}-v1:0")
        assert raised.value.response["Error"]["Code"] == kind


def test_a_frame_with_a_wrong_byte_is_noticed(converse_events):
    with pytest.raises(ChecksumMismatch):
        converse_events("anthropic.claude-corrupt-after-4-v1:0")


def test_a_stream_can_end_before_it_says_why(converse_events):
    assert kinds(converse_events("amazon.nova-ends-after-3-v1:0")) == ["messageStart", "contentBlockDelta"]
    cut = converse_events("amazon.nova-no-terminator-v1:0")
    assert kinds(cut) == ["messageStart", "contentBlockDelta", "contentBlockStop"]


def test_usage_can_be_missing_or_absurd(converse_events):
    assert "usage" not in converse_events("amazon.nova-nousage-v1:0")[-1]["metadata"]
    lies = converse_events("amazon.nova-lies-v1:0")[-1]["metadata"]["usage"]
    assert (lies["inputTokens"], lies["outputTokens"]) == (-7, 10**18)


STREAMS = ("invoke-with-response-stream", "converse-stream")
BREAKS = {"dies": httpx2.RemoteProtocolError, "resets": httpx2.ReadError, "stall": httpx2.ReadTimeout}


@pytest.fixture
def received(http):
    """What comes of a call until it ends or breaks: (answer, bytes)."""

    def receive(path: str, words: str, *, seconds: float = 30, breaks: type[Exception] | None = None):
        body = {"anthropic_version": VERSION, "max_tokens": 99, "messages": worlds.HELLO}
        body = {"messages": HELLO} if path.startswith("converse") else body
        at = f"/model/anthropic.claude-{words}-v1:0/{path}"
        data = bytearray()
        headers = {"authorization": "Bearer k"}
        with (
            http.stream("POST", at, json=body, headers=headers, timeout=seconds) as answer,
            pytest.raises(breaks) if breaks else contextlib.nullcontext(),
        ):
            for chunk in answer.iter_raw():
                data.extend(chunk)
        return answer, bytes(data)

    return receive


def frames(data: bytes) -> int:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return len(list(buffer))


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("word", BREAKS)
def test_streams_break_where_they_are_told_to(received, path, word):
    _, data = received(path, f"{word}-after-3", seconds=3 if word == "stall" else 30, breaks=BREAKS[word])
    assert frames(data) == 3


@pytest.mark.parametrize("path", STREAMS)
def test_delivery_changes_no_frame(received, path):
    answer, plain = received(path, "tokens-5")
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    for words in ("tokens-5-trickle", "tokens-5-slow-headers", "tokens-5-crlf", "tokens-5-late-end"):
        assert frames(received(path, words)[1]) == frames(plain) > 6


@pytest.mark.parametrize("path", ["invoke", "converse", *STREAMS])
def test_answers_can_be_no_answers(received, path):
    assert b"not what was asked for" in received(path, "garbage")[1]
    page, _ = received(path, "html-200")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html")
    with pytest.raises(httpx2.RemoteProtocolError):
        received(path, "dies-before-headers")


def test_too_many_calls_are_told_when_to_come_again_and_the_first_alone_may_fail(http, conversed):
    headers = {"authorization": "Bearer k"}
    answer = http.post("/model/amazon.nova-429-v1:0/converse", json={"messages": HELLO}, headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    with pytest.raises(ClientError, match="ThrottlingException"):
        conversed("amazon.nova-429-then-ok-v1:0")
    assert conversed("amazon.nova-429-then-ok-v1:0")["stopReason"] == "end_turn"


@pytest.mark.parametrize("words", ["53", "prebuilt", "53-trickle", "53-crlf"])
def test_a_stream_of_53_events_has_53(streamed, converse_events, words):
    assert len(streamed(f"anthropic.claude-{words}-v1:0")) == 53
    assert len(converse_events(f"anthropic.claude-{words}-v1:0")) == 53


def test_what_is_emitted_is_what_is_reported_and_billed(provider, conversed, streamed):
    usage = conversed("anthropic.claude-thinking-v1:0")["usage"]
    reading = provider.last()
    assert (reading.dialect, reading.model) == ("bedrock_converse", "anthropic.claude-thinking-v1:0")
    assert reading.emitted == reading.billed.output == usage["outputTokens"]
    assert reading.billed.fresh == usage["inputTokens"]
    events = streamed("anthropic.claude-thinking-v1:0")
    reading = provider.last()
    assert (reading.dialect, reading.stream) == ("bedrock_invoke", True)
    assert reading.emitted == reading.billed.output == events[-2]["usage"]["output_tokens"]


def test_a_bearers_key_is_taken(provider, monkeypatch):
    with aws.bearing(provider.base_url, token="bedrock-api-key-0123", monkeypatch=monkeypatch) as good:
        assert good.converse(modelId=CLAUDE, messages=HELLO)["stopReason"] == "end_turn"
    assert provider.calls(last=1)[0]["headers"]["authorization"] == "…0123"
    with (
        aws.bearing(provider.base_url, token="bad-key", monkeypatch=monkeypatch) as bad,
        pytest.raises(bad.exceptions.AccessDeniedException, match="API Key is valid"),
    ):
        bad.converse(modelId=CLAUDE, messages=HELLO)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ((signature.USER, "not/the/secret"), "InvalidSignatureException"),
        (("AKIAUNKNOWN000000000", "whatever"), "UnrecognizedClientException"),
        ((signature.SESSION, signature.SECRETS[signature.SESSION]), "UnrecognizedClientException"),
        ((signature.SESSION, signature.SECRETS[signature.SESSION], "stale"), "UnrecognizedClientException"),
    ],
)
def test_a_signature_is_computed_anew(provider, keys, kind):
    with aws.client(provider.base_url, keys=keys) as client, pytest.raises(ClientError) as raised:
        client.converse(modelId=CLAUDE, messages=HELLO)
    assert raised.value.response["Error"]["Code"] == kind
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_session_signs_with_its_token(provider):
    keys = (signature.SESSION, signature.SECRETS[signature.SESSION], signature.SESSION_TOKEN)
    with aws.client(provider.base_url, keys=keys) as client:
        assert client.converse(modelId=NOVA, messages=HELLO)["stopReason"] == "end_turn"
