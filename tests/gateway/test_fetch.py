"""What callers give by URL reaches providers who take bytes only; and what comes of a URL that gives nothing."""

from __future__ import annotations

import base64
import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, openai_error
from tests.gateway.sockets import call, leave
from tests.servers import until
from tests.shelf import Shelf

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

RESPONSES, COUNT = "/v1/responses", "/v1/messages/count_tokens"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
FILES = {
    "/a.png": PNG,
    "/big.png": PNG + bytes(2500),
    "/b.pdf": b"%PDF-1.4 pages",
    "/c.txt": "Grüße".encode(),
    "/page": b"<html>secret</html>",
    "/long.txt": b"word " * 20_000,
}
MODELS = {
    "titan-claude": "us.anthropic.claude-sonnet-4-6-v1:0",
    "nova-test": "amazon.nova-pro-v1:0",
    "llama-test": "qwen3:8b",
}
CLIENTS = [ANTHROPIC, OPENAI, RESPONSES]
DOCUMENTS = {"titan-claude": "/b.pdf", "nova-test": "/b.pdf", "llama-test": "/c.txt"}
PLACES = {
    ANTHROPIC: "messages.0.content.0.source.url",
    OPENAI: "messages[0].content[0].image_url.url",
    RESPONSES: "input[0].content[0].image_url",
}
WORDS = {  # of who cannot reach a file, and of who cannot use it
    ANTHROPIC: ("Unable to download the file", "Unsupported file type"),
    OPENAI: ("Error while downloading", "unsupported image"),
    RESPONSES: ("Error while downloading", "unsupported image"),
}


@pytest.fixture
def pictures(settings) -> Iterator[Shelf]:
    settings.WEIR_FETCH_NETWORKS = ["127.0.0.1/32"]
    running = Shelf(FILES)
    yield running
    running.stop()


@pytest.fixture
def deployed(world, gateway):
    for name, upstream in MODELS.items():
        world.deploy(name, upstream=upstream)
    gateway.refresh()


def image(path: str, url: str) -> dict[str, Any]:
    if path == OPENAI:
        return {"type": "image_url", "image_url": {"url": url}}
    if path == RESPONSES:
        return {"type": "input_image", "image_url": url}
    return {"type": "image", "source": {"type": "url", "url": url}}


def document(path: str, url: str) -> dict[str, Any]:
    if path == RESPONSES:
        return {"type": "input_file", "file_url": url}
    return {"type": "document", "source": {"type": "url", "url": url}}


def asking(path: str, *parts: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "input_text" if path == RESPONSES else "text", "text": "What is it?"}
    turns = [{"role": "user", "content": [*parts, text]}]
    return {"input": turns, "messages": None, "max_tokens": None} if path == RESPONSES else {"messages": turns}


def refusal(path: str, response: Any) -> str:
    if path == ANTHROPIC:
        return str(anthropic_error(response, 400, "invalid_request_error"))
    return str(openai_error(response, 400)["message"])


@pytest.mark.parametrize("model", MODELS)
def test_a_picture_by_url_reaches_who_takes_bytes_only(gateway, simulator, pictures, deployed, model, caplog):
    url, calls = f"{pictures.url}/a.png", 0
    for path, stream in itertools.product(CLIENTS, (False, True)):
        change = asking(path, image(path, url), image(path, url)) | {"stream": stream}
        response = ask(gateway, path, model=model, change=change, headers={"cookie": "c=d", "traceparent": "x"})
        assert response.status_code == 200, response.text
        asked = simulator.calls()[-1]
        assert asked["understood"]["attachments"] == 2
        assert json.dumps(asked["body"]).count(base64.b64encode(PNG).decode()) == 2
        assert pictures.url not in json.dumps(asked["body"])
        calls += 1
        assert pictures.paths() == ["/a.png"] * calls  # both at once
    for _, headers in pictures.asked:
        assert headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    gateway.settle()
    rows = Entry.objects.all()
    assert [row.status for row in rows] == ["ok"] * calls
    assert all("fetched: 1 by URL" in row.trail for row in rows)
    assert pictures.url not in caplog.text


def test_a_document_by_url_reaches_who_takes_bytes_only(gateway, simulator, pictures, deployed):
    for (model, name), path in itertools.product(DOCUMENTS.items(), (ANTHROPIC, RESPONSES)):
        response = ask(gateway, path, model=model, change=asking(path, document(path, pictures.url + name)))
        assert response.status_code == 200, response.text
        body = json.dumps(simulator.calls()[-1]["body"], ensure_ascii=False)
        assert (FILES[name].decode() if model == "llama-test" else base64.b64encode(FILES[name]).decode()) in body


def test_openais_chat_takes_pictures_by_url_and_documents_in_bytes(gateway, simulator, pictures):
    parts = (image(ANTHROPIC, f"{pictures.url}/a.png"), document(ANTHROPIC, f"{pictures.url}/b.pdf"))
    assert ask(gateway, ANTHROPIC, model="gpt-test", change=asking(ANTHROPIC, *parts)).status_code == 200
    assert pictures.paths() == ["/b.pdf"]
    body = json.dumps(simulator.calls()[-1]["body"])
    assert f"{pictures.url}/a.png" in body
    assert base64.b64encode(FILES["/b.pdf"]).decode() in body


def test_who_takes_urls_gets_them(gateway, simulator, pictures):
    url = f"{pictures.url}/a.png"
    for path, model in itertools.product((ANTHROPIC, OPENAI), ("claude-test", "gpt-test")):
        assert ask(gateway, path, model=model, change=asking(path, image(path, url))).status_code == 200
        assert url in json.dumps(simulator.calls()[-1]["body"])
    assert pictures.asked == []


def test_they_are_fetched_once_for_all_tries(gateway, world, simulator, pictures):
    model = world.model("nova-twice")
    world.deploy("nova-twice", upstream="amazon.nova-500-v1:0", model=model)
    world.deploy("nova-twice", upstream=MODELS["nova-test"], model=model, priority=1)
    gateway.refresh()
    parts = [image(OPENAI, f"{pictures.url}/a.png")]
    assert ask(gateway, OPENAI, model="nova-twice", change=asking(OPENAI, *parts)).status_code == 200
    gateway.settle()
    assert Entry.objects.count() == 2
    assert pictures.paths() == ["/a.png"]


def test_tokens_are_counted_with_what_lies_at_the_url(gateway, simulator, pictures, deployed):
    change = asking(ANTHROPIC, image(ANTHROPIC, f"{pictures.url}/a.png")) | {"max_tokens": None}
    response = ask(gateway, COUNT, model="titan-claude", change=change)
    assert response.status_code == 200, response.text
    assert response.json()["input_tokens"] > 0
    assert pictures.paths() == ["/a.png"]


@pytest.mark.attack("F24")
@pytest.mark.usefixtures("costs_nothing")
def test_a_url_that_gives_nothing_is_a_400_in_the_callers_words(gateway, pictures, deployed):
    for path, model, name in itertools.product(CLIENTS, MODELS, ("/nowhere", "/inward", "/page")):
        response = ask(gateway, path, model=model, change=asking(path, image(path, pictures.url + name)))
        told = refusal(path, response)
        assert WORDS[path][name == "/page"] in told
        assert (response.json()["error"].get("param") or told.partition(": ")[0]) == PLACES[path]
        assert "secret" not in response.text
        assert "127.0.0.2" not in response.text


@pytest.mark.attack("F24")
@pytest.mark.usefixtures("costs_nothing")
def test_what_is_opened_for_providers_is_closed_to_callers_urls(gateway, pictures, deployed, settings):
    settings.WEIR_FETCH_NETWORKS = []
    url = f"{pictures.url}/a.png"
    refused = ask(gateway, OPENAI, model="nova-test", change=asking(OPENAI, image(OPENAI, url)))
    assert openai_error(refused, 400)["code"] == "invalid_image_url"
    assert pictures.asked == []


@pytest.mark.usefixtures("costs_nothing")
def test_switched_off_nothing_is_fetched(gateway, pictures, deployed, settings):
    settings.WEIR_FETCH_URLS = False
    for path, model in itertools.product(CLIENTS, MODELS):
        refused = ask(gateway, path, model=model, change=asking(path, image(path, f"{pictures.url}/a.png")))
        assert "takes no images by URL" in refusal(path, refused)
    assert pictures.asked == []


@pytest.mark.usefixtures("costs_nothing")
def test_all_together_may_be_as_large_as_in_the_body(gateway, pictures, deployed, settings):
    change = asking(OPENAI, image(OPENAI, f"{pictures.url}/a.png"))
    settings.WEIR_MAX_BODY_BYTES = 200  # of what is fetched; the gateway's own bound was read before
    refused = ask(gateway, OPENAI, model="nova-test", change=change)
    assert openai_error(refused, 400)["code"] == "invalid_image"


@pytest.mark.parametrize("path", CLIENTS)
@pytest.mark.parametrize("model", ["titan-claude", "nova-test"])
def test_one_that_is_given_often_counts_as_often(gateway, simulator, pictures, deployed, settings, path, model):
    settings.WEIR_MAX_BODY_BYTES = 10_000
    often, seldom = (asking(path, *[image(path, f"{pictures.url}/big.png")] * times) for times in (3, 2))
    before = simulator.seen()
    told = refusal(path, ask(gateway, path, model=model, change=often))
    assert ("too large" if path == ANTHROPIC else "exceeds the limit") in told
    assert simulator.seen() == before
    assert ask(gateway, path, model=model, change=seldom).status_code == 200


@pytest.mark.parametrize("key", [None, "sk-weir-unknown"])
@pytest.mark.usefixtures("costs_nothing")
def test_nobody_without_a_key_has_anything_fetched(gateway, pictures, deployed, key):
    change = asking(OPENAI, image(OPENAI, f"{pictures.url}/a.png"))
    assert ask(gateway, OPENAI, key=key, model="nova-test", change=change).status_code == 401
    assert pictures.asked == []


def test_nobody_whose_budget_is_spent_has_anything_fetched(gateway, world, pictures, deployed):
    world.budget(tenant=world.tenant, amount=1)
    gateway.refresh()
    change = asking(OPENAI, image(OPENAI, f"{pictures.url}/a.png"))
    assert ask(gateway, OPENAI, model="nova-test", change=change).status_code == 429
    assert pictures.asked == []


@pytest.mark.parametrize("model", MODELS)
def test_a_documents_length_is_reserved_before_it_is_sent(gateway, world, simulator, pictures, deployed, model):
    world.budget(key=world.key_row, amount=50_000_000)
    gateway.refresh()
    before = simulator.seen()
    long, short = (asking(ANTHROPIC, document(ANTHROPIC, pictures.url + name)) for name in ("/long.txt", "/c.txt"))
    assert ask(gateway, ANTHROPIC, model=model, change=long).status_code == 429
    assert simulator.seen() == before
    for _ in range(3):  # nothing of the refused one is held still
        assert ask(gateway, ANTHROPIC, model=model, change=short).status_code == 200
    gateway.settle()
    assert [row.status for row in Entry.objects.all()] == ["ok"] * 3


@pytest.mark.parametrize("policy", ["cancel", "drain"])
def test_a_caller_who_leaves_takes_the_download_along(gateway, world, simulator, pictures, policy):
    world.deploy("nova-left", upstream=MODELS["nova-test"], on_disconnect=policy)
    gateway.refresh()
    before = simulator.seen()
    change = asking(OPENAI, image(OPENAI, f"{pictures.url}/hangs"))
    raw: socket.socket = call(gateway, OPENAI, model="nova-left", **change)
    until(lambda: pictures.paths() == ["/hangs"])
    leave(raw, "rst")
    assert pictures.gone.wait(8)  # sooner than the time that a download has
    gateway.settle()
    assert simulator.seen() == before
    assert not Entry.objects.exists()


def test_official_clients_see_the_errors_that_they_know(gateway, world, pictures, deployed):
    url = f"{pictures.url}/nowhere"
    with (
        anthropic.Anthropic(api_key=world.key, base_url=gateway.url, max_retries=0) as claude,
        pytest.raises(anthropic.BadRequestError, match="Unable to download the file"),
    ):
        claude.messages.create(model="titan-claude", max_tokens=9, **asking(ANTHROPIC, image(ANTHROPIC, url)))
    with (
        openai.OpenAI(api_key=world.key, base_url=f"{gateway.url}/v1", max_retries=0) as gpt,
        pytest.raises(openai.BadRequestError) as refused,
    ):
        gpt.chat.completions.create(model="nova-test", **asking(OPENAI, image(OPENAI, url)))
    assert refused.value.code == "invalid_image_url"
    assert refused.value.param == "messages[0].content[0].image_url.url"
