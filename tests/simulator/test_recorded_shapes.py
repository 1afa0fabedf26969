"""What real providers were asked and answered, beside what the simulated one makes of the same requests.

It need not say the same, but every field that a vendor's answer has must be there, in its order where the recording
kept it, and the events of a stream must follow each other as the vendor's do.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.domain.test_recordings import ABSENT, ROOT

# Fields of older answers that the vendor has since renamed.
RENAMED = {"reasoning.generate_summary"}
PATHS = {"openai_responses": "/v1/responses", "ollama": "/api/chat"}


def recordings(folder: str) -> list[Any]:
    """Parameters: one recording each, or one that says why there is none."""
    documents = {path.stem: json.loads(path.read_bytes()) for path in sorted((ROOT / folder).glob("*.json"))}
    served = {name: each for name, each in documents.items() if each["request"]["path"] == PATHS[folder]}
    found = [pytest.param(each, id=name) for name, each in served.items()]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]


def events(text: str) -> list[dict[str, Any]]:
    """Of a stream of events, or of lines."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line and not line.startswith("event: ")]
    return [json.loads(line) for line in lines]


def fields(document: Any, *, at: str = "") -> list[str]:
    """The paths of all fields, in their order; those of a list's objects once."""
    if isinstance(document, list):
        return list(dict.fromkeys(path for each in document for path in fields(each, at=at)))
    if not isinstance(document, dict):
        return []
    return [path for name, value in document.items() for path in (at + name, *fields(value, at=f"{at}{name}."))]


def assert_holds(ours: Any, theirs: Any, *, in_order: bool, but: Iterable[str] = ()) -> None:
    wanted = [path for path in fields(theirs) if not path.startswith(tuple(but))]
    wanted = [path for path in wanted if path not in RENAMED]
    there = [path for path in fields(ours) if path in set(wanted)]
    assert sorted(there) == sorted(wanted)
    if in_order:
        assert there == wanted


def about(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event.get("item", {}).get("type", "")


def items(answer: dict[str, Any]) -> list[str]:
    return [item["type"] for item in answer["output"]]


@pytest.mark.parametrize("recording", recordings("openai_responses"))
def test_responses_have_the_vendors_fields_and_events(http, recording):
    theirs = recording["response"]
    ours = http.post("/v1/responses", json=recording["request"]["body"])
    assert ours.status_code == theirs["status"]
    if theirs["status"] != 200:
        assert ours.json() == json.loads(theirs["body_text"])
        return
    echoes = ("tools", "metadata", "output")  # what was asked, and what is said
    if not recording["stream"]:
        in_order = recording["fidelity"] == "exact"
        assert_holds(ours.json(), json.loads(theirs["body_text"]), in_order=in_order, but=echoes)
        return
    told, wanted = events(ours.text), events(theirs["body_text"])
    firsts = {about(event): event for event in reversed(told)}
    same = items(told[-1]["response"]) == items(wanted[-1]["response"])
    for event in wanted:
        if same or event["type"].startswith(("response.created", "response.in_progress", "response.completed")):
            but = () if "response" not in event else [f"response.{name}" for name in echoes]
            assert_holds(firsts[about(event)], event, in_order=True, but=but)
    if same:
        assert [kind for kind, _ in itertools.groupby(told, key=lambda event: event["type"])] == [
            kind for kind, _ in itertools.groupby(wanted, key=lambda event: event["type"])
        ]


@pytest.mark.parametrize("recording", recordings("ollama"))
def test_ollamas_lines_have_its_fields(http, recording):
    ours = http.post("/api/chat", json=recording["request"]["body"])
    assert ours.status_code == recording["response"]["status"] == 200
    told, wanted = ours.text.splitlines(), recording["response"]["body_text"].splitlines()
    assert_holds(json.loads(told[-1]), json.loads(wanted[-1]), in_order=True)
    assert_holds(json.loads(told[0]), json.loads(wanted[0]), in_order=True)
    assert ours.headers["content-type"].split(";")[0] == recording["response"]["headers"]["content-type"].split(";")[0]
