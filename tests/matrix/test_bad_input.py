"""What is wrong, or cannot be asked of a model's provider, gets the dialect's own 400, which names the field; nobody is
asked and nothing is booked. What is ignored is answered."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from apps.domain.protocols import registry
from tests.matrix import bad, seed
from tests.matrix.bad import row
from tests.servers import until

CASES = [
    (client, case, upstream)
    for client, (_, _, rows) in bad.TABLES.items()
    for case in rows
    for upstream in (case.at if case.names is None or len(case.at) < 6 else row.ALL)
]


def relayed(client, upstream):
    """Whether the provider judges: its own 400 is relayed, and it may have been asked."""
    return (client, seed.UPSTREAMS[upstream][0]) in registry.DIALECTS


def blamed(client, response):
    """The field that a 400 names: Anthropic's callers read it in the message."""
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    if client == "anthropic_messages":
        assert response.json()["type"] == "error"
        return error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["param"]


def booked(gateway, *, after):
    """How many calls cost something, once that of the answer `after` is booked."""
    identifier = after.headers["x-request-id"].removeprefix("req_")
    with contextlib.closing(sqlite3.connect(gateway.database)) as database:
        until(lambda: database.execute("SELECT 1 FROM usage_entry WHERE request_id = ?", (identifier,)).fetchone())
        return database.execute("SELECT count(*) FROM usage_entry WHERE cost_nano > 0").fetchone()[0]


@pytest.fixture(scope="module")
def answers(gateway, provider, http):
    """Asks once for each case, refusals first: what they cost is looked at before anybody is answered."""
    found, asked = {}, len(provider.readings())
    for client, case, upstream in sorted(CASES, key=lambda one: one[1].names is None):
        path, good, _ = bad.TABLES[client]
        content = json.dumps(row.body(good, case, model=upstream))
        headers = {"x-api-key": gateway.key, "content-type": "application/json"}
        response = http.post(path, content=content, headers=headers)
        now = len(provider.readings())
        found[client, case.what, case.names, upstream] = response, now - asked
        asked = now
    return found


@pytest.mark.parametrize(("client", "case", "upstream"), CASES, ids=[f"{c}-{b.what}-{u}" for c, b, u in CASES])
def test_a_bad_request_is_answered_as_the_table_says(answers, client, case, upstream):
    response, asked = answers[client, case.what, case.names, upstream]
    if case.names is None:
        assert response.status_code == 200, response.text
        return
    assert response.status_code == 400, response.text
    assert case.names in (blamed(client, response) or response.json()["error"]["message"])
    assert asked == 0 or relayed(client, upstream)


def test_refusals_cost_nothing(gateway, http):
    headers = {"x-api-key": gateway.key, "content-type": "application/json"}

    def ask(client, body):
        return http.post(bad.TABLES[client][0], content=json.dumps(body), headers=headers)

    good = {"model": "openai", "prompt": "Hello"}
    before = booked(gateway, after=ask("prompt", good))
    for client, case, upstream in CASES[::7]:
        if case.names is not None:
            assert ask(client, row.body(bad.TABLES[client][1], case, model=upstream)).status_code == 400
    assert booked(gateway, after=ask("prompt", good)) == before + 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("upstream", row.ALL)
def test_a_call_in_one_line_is_told_of_an_overlong_prompt_by_its_status(gateway, http, upstream, stream):
    content = json.dumps({"model": upstream, "prompt": "Hello", "stream": stream})
    response = http.post("/chat", content=content, headers={"x-api-key": gateway.key, "x-simulate": "overflow"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
