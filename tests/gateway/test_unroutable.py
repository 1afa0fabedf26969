"""A call that nobody can answer: every dialect says why, whole or streamed, and tells nothing of anybody's set-up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Deployment, Provider
from apps.policies import services as policies
from apps.tenants import services as tenants
from tests.gateway.calls import ask

PNG = "data:image/png;base64,aGVsbG8="
WORDS = "What is it?"
pytestmark = pytest.mark.once
SEEING: dict[str, dict[str, Any]] = {
    "/v1/messages": {
        "max_tokens": 9,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
                ],
            }
        ],
    },
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]
    },
    "/v1/responses": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]},
}
SEEING["/v1/messages/count_tokens"] = {"messages": SEEING["/v1/messages"]["messages"]}
PLAIN: dict[str, dict[str, Any]] = {
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": WORDS}]},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": WORDS}]},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": WORDS}]},
    "/v1/completions": {"prompt": WORDS},
    "/v1/responses": {"input": WORDS},
    "/v1/embeddings": {"input": WORDS},
    "/chat": {"prompt": WORDS},
}
ONCE = {"/v1/embeddings", "/v1/messages/count_tokens"}


@pytest.fixture
def confined(gateway, world):
    """A model whose deployments are of several providers, of which the policy lets calls go to one that is blind."""
    model = world.model("claude-blind", capabilities=["text"])
    world.deploy("claude-blind", upstream="secret-upstream", model=model, tags=["eu"])
    sees = world.deploy("claude-blind", upstream="secret-eyes", model=model, region="mars")
    theirs = world.deploy("claude-theirs", upstream="globex-upstream")
    other = tenants.create_tenant(actor=world.alice, name="Globex", owner=world.alice)
    catalog.update_model(theirs.model, actor=None, name="globex-model")
    catalog.set_tenants(theirs.model, actor=None, tenants=[other])
    catalog.add_fallback(model, actor=None, target=theirs.model)
    catalog.update_model(model, actor=None, name="blind")
    Deployment.objects.filter(model=model).update(upstream_model="plain", capabilities=["text"])
    catalog.update_deployment(sees, actor=None, capabilities=["vision"])
    made = policies.create_policy(actor=world.alice, name="eu-only", required_tags=["eu"])
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()
    return made


def refused(gateway, simulator, path: str, body: dict[str, Any], *, model: str) -> tuple[int, str]:
    """Status and message, in the shape of the path's dialect."""
    before = simulator.seen()
    answer = ask(gateway, path, body=json.dumps({"model": model, **body}).encode())
    assert simulator.seen() == before
    assert answer.headers["content-type"].startswith("application/json"), "though it would have been a stream"
    told = answer.json()["error"]
    assert ("request_id" in answer.json()) is ("messages" in path)
    for hidden in ("secret", "mars", "globex", "Globex"):
        assert hidden not in answer.text
    return answer.status_code, told["message"]


def answers(gateway, simulator, bodies: dict[str, dict[str, Any]]) -> dict[tuple[str, bool], Any]:
    """Of every path, whole and streamed, where there are streams."""
    return {
        (path, is_stream): refused(
            gateway,
            simulator,
            path,
            {**body, **({"stream": True} if is_stream else {})},
            model="gpt-vectors" if path == "/v1/embeddings" else "blind",
        )
        for path, body in bodies.items()
        for is_stream in ((False,) if path in ONCE else (False, True))
    }


def test_who_lacks_what_it_needs_is_told_under_which_policy(gateway, simulator, confined):
    told = answers(gateway, simulator, SEEING)
    assert len(told) == 7
    assert set(told.values()) == {(400, "no deployment of blind offers vision under policy eu-only")}


def test_whom_a_policy_leaves_nobody_is_told_its_name(gateway, world, simulator, confined):
    vectors = world.model("gpt-vectors", capabilities=["embeddings"])
    world.deploy("gpt-vectors", upstream="secret-vectors", model=vectors)
    Provider.objects.update(tags=["us"])
    world.touch_catalog()
    gateway.refresh()
    told = answers(gateway, simulator, PLAIN)
    assert told.pop(("/v1/embeddings", False)) == (403, "policy eu-only allows no deployment of gpt-vectors")
    assert len(told) == 11
    assert set(told.values()) == {(403, "policy eu-only allows no deployment of blind")}
