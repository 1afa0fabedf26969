"""Bedrock refusing, breaking and checking who asks, as AWS's own SDK sees it."""

from __future__ import annotations

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError

from apps.simulator.bedrock import signature
from tests.simulator import aws
from tests.simulator.aws import CLAUDE, HELLO, NOVA, kinds


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
    assert provider.calls()[-1]["headers"]["authorization"] == "…0123"
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
