"""Names and places in requests: what a Presidio analyzer is asked, and what becomes of calls with and without it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.exceptions import ValidationError

from apps.gateway.names import PIECE
from apps.policies import services as policies
from apps.policies.models import Tally
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, body_of
from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
SAID = {"messages": [{"role": "user", "content": "Write to Miss Marple in London."}]}


class Analyzer:
    """Answers `POST /analyze` as Presidio's service does: a list of findings with type, place and score."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.status = 200
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append({"path": self.path, **question})
                time.sleep(outer.delay)
                answer = json.dumps(outer.answer(question["text"])).encode()
                with contextlib.suppress(OSError):  # nobody has waited
                    self.send_response(outer.status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, text: str) -> list[dict]:
        known = {"Marple": "PERSON", "London": "LOCATION"}
        return [
            {"entity_type": entity, "start": text.index(name), "end": text.index(name) + len(name), "score": 0.85,
             "analysis_explanation": None, "recognition_metadata": {"recognizer_name": "SpacyRecognizer"}}
            for name, entity in known.items() if name in text
        ]  # fmt: skip

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def analyzer(settings) -> Iterator[Analyzer]:
    running = Analyzer()
    settings.WEIR_PRESIDIO_URL = running.url
    settings.WEIR_PRESIDIO_SECONDS = 1.0
    yield running
    running.close()


@pytest.fixture
def gateway(world, analyzer) -> Iterator[Gateway]:
    """With the analyzer's settings."""
    running = Gateway(world)
    yield running
    running.stop()


def hold(world, gateway, **rules: str) -> None:
    made = policies.create_policy(
        actor=world.alice, name="names", route_tag="private", rules={kind: (what, "") for kind, what in rules.items()}
    )
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()


def test_names_are_found_counted_and_refused_and_nobody_is_told_them(gateway, world, analyzer, simulator, caplog):
    hold(world, gateway, person="block", location="flag")
    before = simulator.seen()
    refused = ask(gateway, ANTHROPIC, change=SAID)
    assert anthropic_error(refused, 403, "permission_error").startswith("policy names found person in the request")
    assert simulator.seen() == before
    assert analyzer.asked[0]["path"] == "/analyze"
    assert (analyzer.asked[0]["language"], analyzer.asked[0]["entities"]) == ("en", ["LOCATION", "PERSON"])
    assert "Miss Marple in London" in analyzer.asked[0]["text"]
    assert "Marple" not in caplog.text + refused.text
    assert ask(gateway, OPENAI, change={"messages": [{"role": "user", "content": "London?"}]}).status_code == 200
    gateway.settle()
    assert "found: location x1, flagged" in Entry.objects.get().trail
    gateway.engine.configuration.findings.flush()
    assert {(row.kind, row.action, row.count) for row in Tally.objects.all()} == {
        ("person", "block", 1),
        ("location", "flag", 1),
    }


def test_a_place_is_routed_to_whom_the_tag_names(gateway, world, analyzer):
    hold(world, gateway, location="route")
    told = anthropic_error(ask(gateway, ANTHROPIC, change=SAID), 403, "permission_error")
    assert told == "policy names allows no deployment of claude-test"
    assert ask(gateway, ANTHROPIC).status_code == 200


def dry(gateway, **change) -> dict:
    asked = b'{"endpoint": "messages", "request": %b}' % body_of(ANTHROPIC, change=change)
    return ask(gateway, "/v1/explain", body=asked).json()


def test_a_dry_run_asks_as_a_call_does_once_and_counts_nothing(gateway, world, analyzer):
    hold(world, gateway, person="block", location="flag", email="flag")
    told = dry(gateway, messages=[{"role": "user", "content": "To Marple, m@example.com, at London."}])
    assert told["policy"]["findings"] == [
        {"kind": "email", "count": 1, "action": "flag"},
        {"kind": "person", "count": 1, "action": "block"},
        {"kind": "location", "count": 1, "action": "flag"},
    ]
    assert told["refusal"]["message"].startswith("policy names found person in the request")
    assert len(analyzer.asked) == 1
    gateway.engine.configuration.findings.flush()
    assert not Tally.objects.exists()


def test_a_dry_run_says_whom_nobody_has_looked_for(gateway, world, analyzer, monkeypatch):
    hold(world, gateway, person="flag")
    analyzer.status = 500
    assert "who finds them does not answer" in dry(gateway, **SAID)["refusal"]["message"]
    monkeypatch.setattr(gateway.engine.names, "_fails_open", True)
    told = dry(gateway, **SAID)
    assert (told["serves"], told["notes"]) == (True, ["not looked for: person; nobody answered"])


def test_a_long_request_is_asked_about_in_pieces_that_overlap(gateway, world, analyzer):
    hold(world, gateway, person="block")
    text = "x " * (PIECE // 2 - 40) + "Marple " + "y " * PIECE
    assert ask(gateway, ANTHROPIC, change={"messages": [{"role": "user", "content": text}]}).status_code == 403
    assert all(len(question["text"]) <= PIECE + 100 for question in analyzer.asked)
    assert len(analyzer.asked) > 2


@pytest.mark.parametrize("trouble", ["slow", "failing"])
def test_without_an_answer_a_call_is_refused_or_let_go_as_is_set(gateway, world, analyzer, trouble, monkeypatch):
    hold(world, gateway, person="block")
    analyzer.delay, analyzer.status = (3.0, 200) if trouble == "slow" else (0.0, 500)
    refused = ask(gateway, ANTHROPIC, change=SAID)
    assert refused.status_code in (503, 529)
    assert "who finds them does not answer" in refused.text
    monkeypatch.setattr(gateway.engine.names, "_fails_open", True)
    assert ask(gateway, ANTHROPIC, change=SAID).status_code == 200
    gateway.settle()
    assert "not looked for: person; nobody answered" in Entry.objects.get().trail


def test_nobody_is_asked_where_no_policy_looks_for_names(gateway, world, analyzer):
    hold(world, gateway, card="block")
    assert ask(gateway, ANTHROPIC, change=SAID).status_code == 200
    assert not analyzer.asked


@pytest.mark.parametrize(
    ("rule", "url", "field"),
    [(("block", ""), "", "kind"), (("mask", ""), "http://p", "on_request"), (("", "stop"), "http://p", "on_response")],
)
def test_what_presidio_cannot_do_is_refused_when_it_is_saved(transactional_db, settings, rule, url, field):
    settings.WEIR_PRESIDIO_URL = url
    with pytest.raises(ValidationError) as refused:
        policies.create_policy(actor=None, name="names", rules={"person": rule})
    assert field in refused.value.message_dict
