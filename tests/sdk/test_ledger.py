"""After all has been said, the gateway's books and the provider's own meter are the same numbers."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import uuid
from pathlib import Path

import anthropic
import openai
import pytest

from apps.simulator.meter import Reading
from tests.sdk import worlds
from tests.sdk.gateways import SERVERS, Gateway, start_gateway
from tests.sdk.worlds import simulate
from tests.servers import until

WORDS = ("", "thinking", "redacted", "cache", "parallel-tools", "refusal", "tokens-90", "crlf")
CALLS = len(WORDS) * 2 * 2 * 2  # models, dialects, streamed or not
COLUMNS = "in_fresh, in_cache_read, in_cache_write_5m, in_cache_write_1h, out_total, usage_source, status"


@pytest.mark.parametrize("server", SERVERS)
def test_every_attempt_is_one_row_that_equals_the_meter(server, tmp_path, provider, template):
    before = len(provider.readings())
    var = shutil.copytree(template[0], tmp_path / "var")
    gateway = start_gateway(server, var=var, key=template[1])
    try:
        _talk(gateway)
        # Not only when it has ended: Daphne says nothing to the application then, and what was said in its last
        # milliseconds would be found unconfirmed at the next start.
        until(lambda: len(_rows(gateway.database)) >= CALLS)
    finally:
        gateway.process.stop()
    rows = _rows(gateway.database)
    readings = {reading.caller: reading for reading in provider.readings()[before:]}
    assert len(rows) == len(readings) == CALLS
    assert rows == {caller: _expected(reading) for caller, reading in readings.items()}


def test_a_caller_that_leaves_at_the_terminator_has_been_served(tmp_path, template):
    """OpenAI's SDK closes the connection on reading `[DONE]`; a real upstream's body ends a moment later."""
    var = shutil.copytree(template[0], tmp_path / "var")
    gateway = start_gateway("uvicorn", var=var, key=template[1])
    try:
        with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0) as gpt:
            script = simulate("slow-300,late-end")  # longer than the gateway waits before it watches for departures
            for model in ("claude-test", "gpt-test"):
                assert list(
                    gpt.chat.completions.create(model=model, messages=worlds.HELLO, stream=True, extra_headers=script)
                )
    finally:
        gateway.process.stop()
    assert {(row[-2], row[-1]) for row in _rows(gateway.database).values()} == {("provider", "ok")}


def _expected(reading: Reading) -> tuple[object, ...]:
    billed = reading.billed
    written = (billed.cache_write_5m, billed.cache_write_1h)
    if reading.dialect == "openai":  # tells how much was written to the cache, but not for how long
        written = (billed.cache_write, 0)
    return (billed.fresh, billed.cache_read, *written, billed.output, "provider", "ok")


def _rows(path: Path) -> dict[str, tuple[object, ...]]:
    """Entries by request and attempt, written as the gateway tells them to providers."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        found = database.execute(f"SELECT request_id, attempt, {COLUMNS} FROM usage_entry").fetchall()
    return {f"{uuid.UUID(request)}/{attempt}": tuple(rest) for request, attempt, *rest in found}


def _talk(gateway: Gateway) -> None:
    """Every kind of answer from both upstreams, in both dialects, streamed and not."""
    base_url, key = gateway.base_url, gateway.key
    with (
        anthropic.Anthropic(api_key=key, base_url=base_url, max_retries=0) as claude,
        openai.OpenAI(api_key=key, base_url=f"{base_url}/v1", max_retries=0) as gpt,
    ):
        for words in WORDS:
            for model in ("claude-test", "gpt-test"):
                asked = {"model": model, "messages": worlds.HELLO, "extra_headers": simulate(words)}
                for stream in (False, True):
                    spoken = claude.messages.create(
                        **asked, max_tokens=500, tools=worlds.ANTHROPIC_TOOLS, stream=stream
                    )
                    said = gpt.chat.completions.create(**asked, tools=worlds.OPENAI_TOOLS, stream=stream)
                    if stream:
                        assert list(spoken)
                        assert list(said)
