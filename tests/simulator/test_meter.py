"""The meter is the oracle: it must say what was emitted, for calls that end well, end badly or are left."""

from __future__ import annotations

import json

import httpx2
import pytest

from apps.simulator import meter
from tests.sdk import worlds
from tests.servers import Simulator, until

CALLER = "0198c5a2-0000-7000-8000-000000000001/1"


def reading_of(provider: Simulator, answer: httpx2.Response) -> meter.Reading:
    """The call's reading, once it has ended."""
    name = answer.headers.get("request-id") or answer.headers["x-request-id"]
    return until(lambda: next((r for r in provider.readings() if r.id == name and r.outcome != "open"), None))


def ask(http: httpx2.Client, model: str, *, stream: bool = False, **more: object) -> httpx2.Response:
    body = {"model": model, "max_tokens": 99, "stream": stream, "messages": worlds.HELLO, **more}
    return http.post("/v1/messages", json=body, headers={"x-weir-request": CALLER})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "model", ["claude-simulated", "claude-thinking", "claude-redacted", "claude-53", "claude-tools"]
)
def test_what_is_emitted_is_what_is_reported_and_billed(provider, http, model, stream):
    answer = ask(http, model, stream=stream, tools=worlds.ANTHROPIC_TOOLS)
    reading = reading_of(provider, answer)
    assert (reading.outcome, reading.status, reading.fault) == ("end", 200, "")
    assert reading.reported is not None
    assert reading.emitted == reading.reported.output == reading.billed.output > 0
    assert reading.billed.fresh == reading.reported.fresh > 0
    assert (reading.dialect, reading.model, reading.stream) == ("anthropic", model, stream)
    assert f'"output_tokens":{reading.emitted}' in answer.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/api/chat"])
def test_all_dialects_are_metered_alike(provider, http, path, stream):
    claude = reading_of(provider, ask(http, "simulated", stream=stream))
    body = {"model": "simulated", "stream": stream, "input" if path == "/v1/responses" else "messages": worlds.HELLO}
    other = reading_of(provider, http.post(path, json=body))
    assert (claude.billed, claude.emitted, claude.prompt) == (other.billed, other.emitted, other.prompt)


def test_it_knows_the_caller_and_hides_the_prompt(provider, http):
    reading = reading_of(provider, ask(http, "claude-simulated"))
    assert reading.caller == CALLER
    assert len(reading.prompt) == 16
    assert b"Hello there" not in provider.meter_path.read_bytes()


def test_a_refused_call_costs_nothing(provider, http):
    for model, status in {"claude-429": 429, "claude-500": 500, "claude-overflow": 400}.items():
        reading = reading_of(provider, ask(http, model))
        assert (reading.outcome, reading.status, reading.emitted) == ("end", status, 0)
        assert reading.billed == meter.Counters()


def test_cached_tokens_are_counted_apart(provider, http):
    billed = reading_of(provider, ask(http, "claude-cache")).billed
    assert (billed.cache_read, billed.cache_write_5m, billed.cache_write_1h) == (1024, 256, 128)


def test_lies_are_told_and_the_truth_is_billed(provider, http):
    reading = reading_of(provider, ask(http, "claude-lies", stream=True))
    assert reading.reported is not None
    assert reading.reported.output == 10**18
    assert reading.billed.output == reading.emitted < 100
    assert reading_of(provider, ask(http, "claude-nousage")).reported is None


def test_a_caller_that_leaves_is_billed_for_what_had_been_emitted(provider, http):
    body = {"model": "claude-pace-5-tokens-4000", "max_tokens": 9999, "stream": True, "messages": worlds.HELLO}
    with http.stream("POST", "/v1/messages", json=body) as answer:
        lines = answer.iter_lines()
        seen = 0
        while seen < 10:
            seen += "text_delta" in next(lines)
        opened = next(r for r in provider.readings() if r.id == answer.headers["request-id"])
        assert opened.outcome == "open"
    reading = reading_of(provider, answer)
    assert reading.outcome == "aborted"
    assert 10 <= reading.emitted == reading.billed.output < 4000
    assert reading.billed.fresh > 0


def test_a_stalled_call_ends_when_its_caller_leaves(provider, http):
    with pytest.raises(httpx2.ReadTimeout):
        http.post(
            "/v1/messages",
            json={"model": "claude-stall-once", "max_tokens": 99, "messages": worlds.HELLO},
            timeout=0.3,
        )
    reading = until(
        lambda: next((r for r in provider.readings() if r.model == "claude-stall-once" and r.outcome != "open"), None)
    )
    assert (reading.fault, reading.emitted) == ("stall", 0)


def test_a_death_in_the_middle_is_named_and_counted(provider, http):
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(http, "claude-dies-after-8-named", stream=True)
    reading = until(
        lambda: next(
            (r for r in provider.readings() if r.model == "claude-dies-after-8-named" and r.outcome != "open"), None
        )
    )
    assert (reading.outcome, reading.fault, reading.emitted) == ("end", "dies", 5)  # after start, block start, ping


def test_a_line_that_is_not_whole_yet_is_left_out(tmp_path):
    path = tmp_path / "meter"
    opened = {"event": "open", "id": "a", "at": 1.0, "model": "m"}
    path.write_text(json.dumps(opened) + '\n{"event":"end","id":"a"')
    (reading,) = meter.read(path)
    assert (reading.id, reading.outcome) == ("a", "open")


def test_a_reader_reads_on_where_it_ended_and_changes_nothing_that_it_told_before(tmp_path):
    path = tmp_path / "meter"
    ended = json.dumps({"event": "end", "id": "a", "at": 2.0, "status": 200}) + "\n"
    path.write_text(json.dumps({"event": "open", "id": "a", "at": 1.0}) + "\n" + ended[:10])
    reader = meter.Reader(path)
    (before,), (again,) = reader.read(), reader.read()
    with path.open("a") as file:
        file.write(ended[10:] + json.dumps({"event": "open", "id": "b", "at": 3.0}) + "\n")
    assert [(one.id, one.outcome, one.status) for one in reader.read()] == [("a", "end", 200), ("b", "open", 0)]
    assert before == again
    assert before.outcome == "open"
