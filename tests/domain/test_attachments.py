"""What is given by URL, toward upstreams that take bytes only: what they lack, and where the bytes go."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from apps.domain import errors
from apps.domain.chat import Fetched, Source
from apps.domain.protocols import attachments, exchange, registry
from apps.domain.protocols.contract import ClientCall, Target

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PDF = b"%PDF-1.4 pages"
PICTURE, PAGES = "https://example.com/a.png?sig=1&x=%2F", "https://example.com/b.pdf"
MODELS = {
    "bedrock_converse": "amazon.nova-pro-v1:0",
    "bedrock_invoke": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "ollama_chat": "qwen3:8b",
    "openai_chat": "gpt",
    "anthropic_messages": "claude",
    "openai_responses": "gpt",
}
FOUND = {PICTURE: Fetched(PNG, "text/html"), PAGES: Fetched(b"pages of text")}


def image(url: str = PICTURE) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


def document(url: str = PAGES) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "url", "url": url}}


def anthropic(*content: dict[str, Any]) -> ClientCall:
    """With everything twice: in the last turn, and in what a tool has returned."""
    used = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": list(content)}
    turns = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [result, {"type": "text", "text": "Say."}, *content]},
    ]
    body = {"model": "m", "max_tokens": 9, "messages": turns}
    return registry.CLIENTS["anthropic_messages"].read_request(json.dumps(body).encode())


def target(protocol: str) -> Target:
    return Target(protocol=protocol, model=MODELS[protocol], max_output_tokens=100)


def lacks(call: ClientCall, protocol: str) -> dict[str, int]:
    with pytest.raises(errors.Unfetched) as lacking:
        exchange.open(call, target(protocol))
    return dict(lacking.value.urls)


def sent(call: ClientCall, protocol: str, found: dict[str, Fetched] = FOUND) -> bytes:
    return exchange.open(call, msgspec.structs.replace(target(protocol), fetched=found)).body


@pytest.mark.parametrize("protocol", ["bedrock_converse", "bedrock_invoke", "ollama_chat"])
def test_who_fetches_nothing_lacks_each_url_as_often_as_it_is_given(protocol):
    assert list(lacks(anthropic(document(), image(), image()), protocol).items()) == [(PAGES, 2), (PICTURE, 4)]


def test_of_openais_chat_only_documents_are_lacking():
    assert lacks(anthropic(image(), document()), "openai_chat") == {PAGES: 2}


@pytest.mark.parametrize("protocol", ["anthropic_messages", "openai_responses"])
def test_who_fetches_by_itself_gets_the_url(protocol):
    body = exchange.open(anthropic(image(), document()), target(protocol)).body.decode()
    assert body.count(PICTURE) == body.count(PAGES) == 2


@pytest.mark.parametrize("protocol", ["bedrock_converse", "bedrock_invoke", "ollama_chat"])
def test_the_bytes_stand_where_the_url_stood(protocol):
    body = sent(anthropic(image(), document()), protocol)
    assert body.count(base64.b64encode(PNG)) == 2
    assert b"https://example.com" not in body
    text = base64.b64encode(b"pages of text") if protocol == "bedrock_converse" else b"pages of text"
    assert body.count(text) == 2


def test_openais_chat_gets_the_picture_by_url_and_the_document_in_bytes():
    body = sent(anthropic(image(), document()), "openai_chat", {PAGES: Fetched(PDF)})
    assert body.count(base64.b64encode(PDF)) == 2
    assert body.count(PICTURE.encode()) == 2


@pytest.mark.parametrize(
    ("found", "weight"),
    [
        (Fetched(PNG), 0),  # its URL has been weighed as one
        (Fetched(PDF), len(base64.b64encode(PDF))),
        (Fetched(b"pages of text", "text/plain"), len(b"pages of text")),
    ],
)
def test_a_document_weighs_as_in_a_body(found, weight):
    assert attachments.prompt_bytes(found) == weight


def test_what_is_relayed_to_bedrock_changes_nowhere_else():
    before = b'[ {"role":"user", "content":[{"text":"\\u00e9 \\"url\\"","type":"text"},\n '
    source = b'{ "type" : "url","url":"https:\\/\\/example.com/b.pdf" }'
    after = b', "title":"T","cache_control":{"type":"ephemeral"}} ]}, {"role":"user","content":"\\/"} ]'
    body = b'{"max_tokens":9,"model":"m","messages":%b{"type":"document" ,"source": %b%b}'
    call = registry.CLIENTS["anthropic_messages"].read_request(body % (before, source, after))
    assert lacks(call, "bedrock_invoke") == {PAGES: 1}
    data = base64.b64encode(PDF)
    placed = b'{"type":"base64","media_type":"application/pdf","data":"%b"}' % data
    messages = before + b'{"type":"document" ,"source": ' + placed + after
    assert b'"messages":' + messages + b"," in sent(call, "bedrock_invoke", {PAGES: Fetched(PDF)})


def test_a_picture_in_a_document_that_is_made_of_blocks_is_found_too():
    made = {"type": "document", "source": {"type": "content", "content": [image()]}}
    assert lacks(anthropic(made), "bedrock_invoke") == {PICTURE: 2}
    assert sent(anthropic(made), "bedrock_invoke").count(base64.b64encode(PNG)) == 2


def test_what_a_search_has_found_is_no_attachment():
    found = {"type": "web_search_result", "url": PAGES, "title": "T", "encrypted_content": "x"}
    result = {"type": "web_search_tool_result", "tool_use_id": "t", "content": [found]}
    assert PAGES.encode() in exchange.open(anthropic(result), target("bedrock_invoke")).body


@pytest.mark.parametrize(
    ("data", "told", "media_type"),
    [
        (PNG, "", "image/png"),
        (PNG, "image/jpeg", "image/png"),
        (b"\xff\xd8\xff\xe0 jfif", "", "image/jpeg"),
        (b"GIF87a", "", "image/gif"),
        (b"GIF89a", "", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "application/octet-stream", "image/webp"),
        (b"unknown bytes", "Image/JPG; charset=binary", "image/jpeg"),
    ],
)
def test_a_picture_is_what_its_first_bytes_say_or_else_its_server(data, told, media_type):
    found = attachments.source(Fetched(data, told), url="u", kind="image")
    assert found == Source("base64", base64.b64encode(data).decode(), media_type)


def test_a_document_is_a_known_file_or_text():
    def read(data: bytes, told: str = "") -> Source:
        return attachments.source(Fetched(data, told), url="u", kind="document")

    assert read(PDF).media_type == "application/pdf"
    assert read(b"\xd0\xcf\x11\xe0", "application/msword").media_type == "application/msword"
    assert read(b"\xef\xbb\xbfcaf\xc3\xa9", "text/markdown") == Source("text", "café", "text/plain")


@pytest.mark.parametrize(
    ("data", "told", "kind"),
    [
        (b"<html>not found</html>", "text/html", "image"),
        (b"<svg/>", "image/svg+xml", "image"),
        (PDF, "image/png", "image"),
        (b"BM\x00\x00", "image/bmp", "image"),
        (PNG, "application/pdf", "document"),
        (b"\xff\xfe\x00\x01", "text/plain", "document"),
        (b"PK\x03\x04\x00", "application/zip", "document"),
        (b"  \n", "text/plain", "document"),
    ],
)
def test_what_is_of_no_type_that_models_take_is_refused(data, told, kind):
    with pytest.raises(attachments.Unusable):
        attachments.source(Fetched(data, told), url="u", kind=kind)


@pytest.mark.parametrize("protocol", ["bedrock_converse", "bedrock_invoke"])
def test_a_page_in_the_place_of_a_picture_is_told_in_the_callers_words(protocol):
    page = {PICTURE: Fetched(b"<html>secret words</html>", "text/html; secret")}
    with pytest.raises(errors.InvalidRequest) as refused:
        sent(anthropic(image()), protocol, page)
    assert refused.value.message.startswith("messages.2.content.0.content.0.source.url: Unsupported file type")
    assert "secret" not in refused.value.message


BODIES: dict[str, dict[str, Any]] = {
    "anthropic_messages": {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "text", "text": PICTURE}, image()]}],
    },
    "openai_chat": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": PICTURE},
                    {"type": "image_url", "image_url": {"url": PICTURE}},
                ],
            }
        ]
    },
    "openai_responses": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": PICTURE},
                    {"type": "input_image", "image_url": PICTURE},
                ],
            }
        ]
    },
}


@pytest.mark.parametrize(
    ("client", "reason", "param", "message", "code"),
    [
        (
            "anthropic_messages",
            "unreachable",
            "messages.0.content.1.source.url",
            "messages.0.content.1.source.url: Unable to download the file. Please verify the URL and try again.",
            "url_unreachable",
        ),
        (
            "openai_chat",
            "unreachable",
            "messages[0].content[1].image_url.url",
            f"Error while downloading {PICTURE}.",
            "invalid_image_url",
        ),
        (
            "openai_responses",
            "late",
            "input[0].content[1].image_url",
            f"Timeout while downloading {PICTURE}.",
            "invalid_image_url",
        ),
    ],
)
def test_a_url_that_gives_nothing_is_told_as_the_callers_own_vendor_tells_it(client, reason, param, message, code):
    call = registry.CLIENTS[client].read_request(json.dumps({"model": "m"} | BODIES[client]).encode())
    told = exchange.undownloaded(call, url=PICTURE, reason=reason)
    assert (told.status, told.param, told.message, told.code) == (400, param, message, code)


@pytest.mark.parametrize("client", BODIES)
@pytest.mark.parametrize("reason", ["unreachable", "late", "large", "many", "image", "document"])
def test_every_reason_has_words_in_every_dialect(client, reason):
    call = registry.CLIENTS[client].read_request(json.dumps({"model": "m"} | BODIES[client]).encode())
    told = exchange.undownloaded(call, url=PICTURE, reason=reason)
    shape = registry.CLIENTS[client].write_error(told, request_id="req_1")
    assert shape.status == 400
    assert json.loads(shape.body)["error"]["message"] == told.message
