"""Nothing in a call chooses where it goes, or what is shown there: not its body, not its headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.outbound.test_ways_out import Listener

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F24")]

BODY = ("api_base", "base_url", "endpoint", "custom_llm_provider", "api_key", "organization", "proxy", "deployment_url")
HEADERS = ("x-api-base", "x-base-url", "x-forwarded-host", "x-host", "x-original-url", "x-upstream", "x-weir-base-url")
FORGED = "sk-forged-0123456789"


@pytest.fixture
def elsewhere() -> Iterator[Listener]:
    listener = Listener("127.0.0.1")
    yield listener
    listener.stop()


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI, "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_goes_where_its_model_is_deployed(gateway, simulator, elsewhere, path, stream):
    url = f"http://127.0.0.1:{elsewhere.port}/v1"
    change = dict.fromkeys(BODY, url) | {"extra_headers": {"host": url, "authorization": FORGED}, "stream": stream}
    if path == "/v1/responses":
        change |= {"input": "Say hello.", "messages": None, "max_tokens": None}
    for model in ("claude-test", "gpt-test"):
        before = simulator.seen()
        ask(gateway, path, model=model, change=change, headers=dict.fromkeys(HEADERS, url) | {"proxy": url})
        headers = {"host": f"127.0.0.1:{elsewhere.port}"} | dict.fromkeys(HEADERS, url)
        response = ask(gateway, path, model=model, change={"stream": stream} | _said(path), headers=headers)
        assert response.status_code == 200, response.text
        asked = [call["headers"] for call in simulator.calls(last=simulator.seen() - before)]
        assert asked
        assert not [each for each in asked if FORGED in str(each) or str(elsewhere.port) in str(each)]
    assert elsewhere.visits == []


def _said(path: str) -> dict[str, object]:
    return {"input": "Say hello.", "messages": None, "max_tokens": None} if path == "/v1/responses" else {}
