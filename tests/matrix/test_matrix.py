"""Every caller's dialect with every upstream's, streamed and not, for everything that a caller may want.

Of each cell: what the provider understood, what the caller understood (text, thinking, calls with their arguments in
order, why it ended, the counters), the stream's grammar, and the row in the ledger, against the provider's own meter.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sqlite3
import uuid
from typing import Any

import httpx2
import pytest

from tests.matrix import cells, seed
from tests.matrix.said import Said
from tests.matrix.wishes import BY_NAME, SHELF, Expected, Wish
from tests.sdk.gateways import Gateway
from tests.servers import Simulator, until

CALLERS = {name: importlib.import_module(f"tests.matrix.callers.{name}") for name in cells.CLIENTS}
CELLS = {key: cell for key, cell in cells.cells().items() if cell.kind != "unsayable"}
COLUMNS = (
    "in_fresh, in_cache_read, in_cache_write_5m, in_cache_write_1h, out_total, usage_source, status, "
    "client_protocol, upstream_protocol"
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("client", "upstream", "name"), CELLS, ids=[f"{c}-{u}-{n.replace(' ', '_')}" for c, u, n in CELLS]
)
def test_a_cell_is_what_the_table_says(gateway, provider, http, shelf, client, upstream, name, stream):
    cell, wish, caller = CELLS[client, upstream, name], BY_NAME[name].wish, CALLERS[client]
    response = _ask(http, gateway, caller, wish, upstream=upstream, stream=stream, shelf=shelf.url)
    if cell.kind == "refused":
        refused = caller.refused(response)
        assert refused.status == 400
        assert cell.blames in f"{refused.field} {refused.message}".lower()
        return
    if cell.expected.fails is not None:
        _check_failure(caller, response, cell.expected)
        return
    assert response.status_code == 200, response.text
    broken = stream and cell.expected.breaks
    said = caller.read(response, stream=stream, relayed=seed.UPSTREAMS[upstream][0] == client)
    _check_said(said, cell.expected, broken=broken)
    _check_understood(provider.calls(last=1)[0]["understood"], wish)
    row = _check_ledger(gateway, provider, response, client=client, upstream=upstream, broken=broken)
    if not broken:
        assert said.usage == row
        assert (row["read"] > 0) == cell.expected.caches


def _ask(
    http: httpx2.Client, gateway: Gateway, caller: Any, wish: Wish, *, upstream: str, stream: bool, shelf: str
) -> httpx2.Response:
    body = json.dumps(caller.body(wish, model=upstream, stream=stream)).replace(SHELF, shelf)
    headers = {"x-api-key": gateway.key, "content-type": "application/json"}
    if wish.words:
        headers["x-simulate"] = wish.words
    return http.post(caller.PATH, content=body, headers=headers)


def _check_failure(caller: Any, response: httpx2.Response, expected: Expected) -> None:
    refused = caller.refused(response)
    assert expected.fails is not None
    if expected.fails[1] == "overflow":
        assert refused.status == 400
        assert caller.OVERFLOW in f"{refused.code} {refused.message}"
    else:
        assert (refused.status, refused.kind) == caller.OVERLOADED


def _check_said(said: Said, expected: Expected, *, broken: bool) -> None:
    if broken:
        assert said.error
        assert said.error["message"]
        assert said.stop is None
        return
    assert said.error is None
    for text in expected.contains:
        assert text in said.text
    for text in expected.omits:
        assert text not in said.text
    assert said.calls == [(name, arguments) for name, arguments in expected.calls]
    assert said.stop == expected.stop
    if expected.thinks:
        assert said.thinking.startswith("The user wrote")
    assert said.redacted or not expected.redacts
    if expected.fits is not None:
        assert set(json.loads(said.text)) == set(expected.fits["properties"])


def _check_understood(understood: dict[str, Any], wish: Wish) -> None:
    assert understood["said"] == wish.said or wish.results
    assert (wish.system is None) or wish.system in understood["texts"]
    shown = sum(1 for result in wish.results if result.image)
    given = (wish.image, wish.document, wish.image_at, wish.document_at)
    assert understood["attachments"] == sum(map(bool, given)) + shown
    assert [tool["name"] for tool in understood["tools"] if tool["name"] in ("get_weather", "get_time")] == [
        tool.name for tool in wish.tools
    ]
    assert all(any(result.text in told for told in understood["texts"]) for result in wish.results)
    assert understood["thinking"] != "off" or not wish.thinks
    assert wish.stop is None or understood["stops"] == [wish.stop]


def _check_ledger(
    gateway: Gateway, provider: Simulator, response: httpx2.Response, *, client: str, upstream: str, broken: bool
) -> dict[str, int]:
    """The row's counters, as a caller may be told them."""
    identifier = response.headers.get("request-id") or response.headers["x-request-id"]
    row = until(lambda: _row(gateway, identifier.removeprefix("req_")))
    fresh, read, written_5m, written_1h, out, source, status, client_protocol, upstream_protocol = row
    assert (client_protocol, upstream_protocol) == (client, seed.UPSTREAMS[upstream][0])
    reading = provider.last()
    assert reading.caller == f"{uuid.UUID(identifier.removeprefix('req_'))}/1"
    if broken:
        assert status in ("upstream_error", "upstream_broken")
        return {}
    billed = reading.billed
    assert (source, status) == ("provider", "ok")
    assert (out, written_5m + written_1h) == (billed.output, billed.cache_write if read else 0)
    assert (fresh, read) in ((billed.fresh, billed.cache_read), (billed.prompt, 0))
    return {"fresh": fresh, "read": read, "written": written_5m + written_1h, "out": out}


def _row(gateway: Gateway, identifier: str) -> tuple[Any, ...] | None:
    with contextlib.closing(sqlite3.connect(gateway.database)) as database:
        found: tuple[Any, ...] | None = database.execute(
            f"SELECT {COLUMNS} FROM usage_entry WHERE request_id = ?", (identifier,)
        ).fetchone()
    return found
