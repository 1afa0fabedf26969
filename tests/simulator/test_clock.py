"""An event can tell when it was written."""

from __future__ import annotations

import re
import time

import pytest

STAMPS = re.compile(r'"(\d{19})"')


@pytest.mark.parametrize(
    ("path", "model"), [("/v1/messages", "claude-clock-tokens-5"), ("/v1/chat/completions", "gpt-clock-tokens-5")]
)
def test_each_event_carries_the_moment_of_its_writing(http, path, model):
    asked = {"model": model, "max_tokens": 99, "stream": True, "messages": [{"role": "user", "content": "Go."}]}
    before = time.monotonic_ns()
    answer = http.post(path, json=asked)
    stamps = [int(stamp) for stamp in STAMPS.findall(answer.text)]
    assert len(stamps) == 5
    moments = [before, *stamps, time.monotonic_ns()]
    assert moments == sorted(moments)
