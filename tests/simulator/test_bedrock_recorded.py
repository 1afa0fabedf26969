"""What Bedrock was asked and answered, beside what the simulated one makes of the same requests.

It need not say the same, but every field of the vendor's answer must be there, and events must follow each other as
the vendor's do.
"""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from tests.domain.test_recordings import ABSENT, ROOT
from tests.simulator.test_recorded_shapes import fields

KEY = {"authorization": "Bearer bedrock-api-key"}
# What a guardrail that is not simulated tells, what not every answer has, and what depends on the blocks of an answer.
OWN = ("trace", "p", "bytes", "output.message.content", "content", "delta", "start", "usage.serverToolUsage", "message")
# The vendor's signatures are not the simulator's.
SIGNED = "thinking_history"


def recordings() -> list[Any]:
    """Parameters: one recording each, or one that says why there is none."""
    paths = sorted(path for folder in ("bedrock_invoke", "bedrock_converse") for path in (ROOT / folder).glob("*.json"))
    documents = {path.stem: json.loads(path.read_bytes()) for path in paths}
    found = [pytest.param(each, id=name) for name, each in documents.items() if SIGNED not in each["tags"]]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]


def events(data: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """(name, content type, document), those within chunks by Anthropic's name."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    out = []
    for event in buffer:
        document = json.loads(event.payload)
        if "bytes" in document:
            document = json.loads(base64.b64decode(document["bytes"]))
        name = document.get("type", event.headers[":event-type"])
        out.append((name, event.headers[":content-type"], document))
    return out


def told(document: Any) -> set[str]:
    return {path for path in fields(document) if not path.startswith(OWN)}


def order(found: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """Names in order: neighbours once, and of the blocks one alone."""
    names = [name for name, _ in itertools.groupby(name for name, *_ in found)]
    return list(dict.fromkeys(name for name in names if "tart" not in name or "essage" in name))


@pytest.mark.parametrize("recording", recordings())
def test_it_answers_with_the_vendors_fields_and_events(http, recording):
    theirs = recording["response"]
    asked = recording["request"]
    ours = http.post(asked["path"], json=asked["body"], headers=KEY)
    assert ours.status_code == theirs["status"], ours.text
    assert theirs["headers"].keys() - ours.headers.keys() <= {"date", "connection"}
    assert ours.headers["content-type"] == theirs["headers"]["content-type"]
    if not recording["stream"]:
        wanted = json.loads(theirs["body_text"])
        if theirs["status"] != 200:
            assert ours.json() == wanted
        assert told(wanted) <= told(ours.json())
        return
    found, wanted = events(ours.content), events(base64.b64decode(theirs["body_base64"]))
    assert order(found) == order(wanted)
    firsts = {name: each for name, *each in reversed(found)}
    for name, kind, document in wanted:
        if name in firsts:
            assert firsts[name][0] == kind
            assert told(document) <= told(firsts[name][1])
