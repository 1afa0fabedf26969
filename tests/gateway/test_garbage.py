"""What a call made goes with it: the collector would have to look at every call in flight to find it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from apps.gateway.context import RequestContext
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.gateway.upstreams import upstream
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["claude-test", "gpt-test"])
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_an_answered_call_leaves_nothing_to_collect(gateway, uncollected, path, model, stream):
    assert ask(gateway, path, model=model, change={"stream": stream}).status_code == 200
    gateway.settle()
    until(lambda: not living())


@pytest.mark.parametrize("key", [None, "junk"])
def test_a_refused_call_leaves_nothing_to_collect(gateway, uncollected, key):
    assert ask(gateway, ANTHROPIC, key=key).status_code == 401
    until(lambda: not living())


@pytest.mark.parametrize("behaviour", ["529", "garbage", "dies-after-3-chunks"])
def test_a_failed_call_leaves_nothing_to_collect(gateway, world, uncollected, behaviour):
    world.scripted(behaviour)
    gateway.refresh()
    ask(gateway, ANTHROPIC, model=f"claude-{behaviour}", change={"stream": True})
    gateway.settle()
    until(lambda: not living())


def test_a_call_that_was_sent_again_leaves_nothing_to_collect(gateway, world, uncollected):
    with upstream(hangs_up=True) as url:
        world.deploy("claude-idle", upstream="m", url=url)
        gateway.refresh()
        for _ in range(2):
            assert ask(gateway, ANTHROPIC, model="claude-idle", change={"stream": True}).status_code == 200
    gateway.settle()
    until(lambda: not living())


def living() -> list[RequestContext]:
    return [found for found in gc.get_objects() if isinstance(found, RequestContext)]
