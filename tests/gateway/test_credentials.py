"""Several credentials a provider, end to end: whose turn it is, who is set aside, who is told what."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from time import time

import pytest
from django.utils import timezone

from apps.catalog import services as catalog
from apps.catalog.models import Credential, Model
from apps.gateway import cooling as module
from apps.tenants import services as tenants
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, openai_error
from tests.gateway.upstreams import MESSAGE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
KEYS = ("simulated-secret-key", "bad-key", "first-good-key", "second-good-key", "its-own-good-key")


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> module.Cooling:
    """Nothing is known of any credential."""
    monkeypatch.setattr(module.cooling, "_rests", {})
    return module.cooling


def credential(world, model: str, *, alias: str, secret: str, **fields):
    provider = Model.objects.get(name=model).deployments.get().provider
    return catalog.create_credential(provider, actor=world.alice, alias=alias, secret=secret, **fields)


def replace_main(world, model: str, secret: str) -> None:
    provider = Model.objects.get(name=model).deployments.get().provider
    catalog.set_secret(provider.credentials.get(alias="main"), actor=world.alice, secret=secret)


def rows(gateway):
    gateway.settle()
    return list(Entry.objects.order_by("id"))


def used(gateway) -> list[str]:
    return [row.credential for row in rows(gateway)]


@contextlib.contextmanager
def limiting(**head: str) -> Iterator[tuple[str, Counter[str]]]:
    """A provider that answers 429 to the key `limited-key`, and everybody else. And how often each key was seen."""
    seen: Counter[str] = Counter()

    class Visit(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            key = self.headers["x-api-key"]
            seen[key] += 1
            is_limited = key.startswith("limited-key")
            body = json.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}).encode()
            body = body if is_limited else MESSAGE
            self.send_response(429 if is_limited else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            for name, value in head.items() if is_limited else ():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visit) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()


def test_credentials_take_turns_by_weight_and_the_row_says_which(gateway, world):
    credential(world, "claude-test", alias="heavy", secret="first-good-key", weight=3)
    gateway.refresh()
    for _ in range(8):
        assert ask(gateway, ANTHROPIC).status_code == 200
    assert Counter(used(gateway)) == {"main": 2, "heavy": 6}


def test_it_is_told_when_a_credential_was_last_sent_to_its_provider(gateway, world):
    before = timezone.now()
    assert ask(gateway, ANTHROPIC).status_code == 200
    gateway.settle()
    gateway.engine.configuration.used.flush()
    used = Credential.objects.get(provider__deployments__model__name="claude-test")
    assert used.last_used_at is not None
    assert before <= used.last_used_at <= timezone.now()
    assert not Credential.objects.exclude(pk=used.pk).exclude(last_used_at=None).exists()


def test_a_refused_credential_is_passed_over_and_its_row_says_so(gateway, world, simulator):
    credential(world, "claude-test", alias="spare", secret="first-good-key")
    replace_main(world, "claude-test", "bad-key")
    gateway.refresh()
    assert [ask(gateway, ANTHROPIC).status_code for _ in range(6)] == [200] * 6
    told = rows(gateway)
    assert Counter(row.credential for row in told) == {"main": 1, "spare": 6}
    failed = next(row for row in told if row.credential == "main")
    assert (failed.status, failed.http_status, failed.trail) == (
        "upstream_error", 401, ["credential main: 401, cooling 60 s"],
    )  # fmt: skip
    passed_over = told[-1].trail
    assert [step.partition(",")[0] for step in passed_over] == ["credential main: 401"]
    assert passed_over[0].endswith("s to go")


def test_another_secret_ends_a_cool_down_at_once(gateway, world):
    replace_main(world, "claude-test", "bad-key")
    gateway.refresh()
    anthropic_error(ask(gateway, ANTHROPIC), 502, "api_error")
    anthropic_error(ask(gateway, ANTHROPIC), 502, "api_error")
    replace_main(world, "claude-test", "second-good-key")
    gateway.refresh()
    assert ask(gateway, ANTHROPIC).status_code == 200
    assert [(row.status, row.http_status) for row in rows(gateway)] == [("upstream_error", 401), ("ok", 200)]


def test_a_flood_of_calls_with_a_refused_key_does_not_reach_the_provider(gateway, world, simulator):
    replace_main(world, "claude-test", "bad-key")
    gateway.refresh()
    ask(gateway, ANTHROPIC)
    before = simulator.seen()
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda path: ask(gateway, path, model="claude-test"), [ANTHROPIC, OPENAI] * 30)]
    assert {answer.status_code for answer in answers} == {502}
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
    assert simulator.seen() - before <= 3, "one in five seconds"


@pytest.mark.parametrize(
    ("head", "least", "most"),
    [
        ({"retry_after": "30"}, 29, 30),
        ({"retry_after_ms": "30000"}, 29, 30),
        ({"retry_after": formatdate(time() + 100_000, usegmt=True)}, 890, 900),
        ({}, 4, 5),
    ],
)
def test_a_limited_credential_rests_as_long_as_the_provider_says(gateway, world, head, least, most):
    with limiting(**head) as (url, seen):
        world.deploy("claude-limited", upstream="m", url=url)
        replace_main(world, "claude-limited", "limited-key")
        gateway.refresh()
        ask(gateway, ANTHROPIC, model="claude-limited")
        again = ask(gateway, ANTHROPIC, model="claude-limited")
        openai = ask(gateway, OPENAI, model="claude-limited")
        anthropic_error(again, 429, "rate_limit_error")
        openai_error(openai, 429, "rate_limit_exceeded")
        assert least <= int(again.headers["retry-after"]) <= most
        assert seen == {"limited-key": 1}, "nobody asked again"
        (row,) = rows(gateway)
        assert row.trail[0].startswith("credential main: 429, cooling ")


def test_while_one_is_limited_the_other_answers_and_other_models_are_not_held_back(gateway, world):
    with limiting(retry_after="60") as (url, seen):
        first = world.deploy("claude-limited", upstream="m", url=url)
        replace_main(world, "claude-limited", "limited-key")
        credential(world, "claude-limited", alias="spare", secret="first-good-key")
        other = world.model("claude-other")
        catalog.create_deployment(actor=world.alice, model=other, provider=first.provider, upstream_model="another")
        gateway.refresh()
        for _ in range(4):
            assert ask(gateway, ANTHROPIC, model="claude-limited").status_code == 200
        assert seen == {"limited-key": 1, "first-good-key": 4}
        assert ask(gateway, ANTHROPIC, model="claude-other").status_code == 200
        ask(gateway, ANTHROPIC, model="claude-other")
        assert seen["limited-key"] == 2, "its limit there is another"


def test_a_tenant_uses_its_own_key_and_never_the_shared_one_even_while_it_rests(gateway, world, simulator):
    credential(world, "claude-test", alias="own", secret="bad-key", tenant=world.tenant)
    others = tenants.create_tenant(actor=world.alice, name="Others", owner=world.alice)
    theirs = world.issue_for(others)
    gateway.refresh()
    for _ in range(3):
        anthropic_error(ask(gateway, ANTHROPIC), 502, "api_error")
    assert ask(gateway, ANTHROPIC, key=theirs).status_code == 200
    assert [(row.tenant_id, row.credential) for row in rows(gateway)] == [
        (world.tenant.pk, "own"),
        (others.pk, "main"),
    ]


def test_no_key_is_ever_told_or_written_down(gateway, world, caplog):
    for number, secret in enumerate(KEYS[2:]):
        credential(world, "claude-test", alias=f"c{number}", secret=secret)
    credential(world, "claude-test", alias="bad", secret="bad-key")
    gateway.refresh()
    answers = [ask(gateway, path, model="claude-test") for path in (ANTHROPIC, OPENAI) for _ in range(6)]
    written = json.dumps([{**row.__dict__, "_state": None} for row in rows(gateway)], default=str)
    for told in (written, caplog.text, *(answer.text + str(answer.headers) for answer in answers)):
        assert not any(secret in told for secret in KEYS)


def test_who_runs_it_sees_what_rests(gateway, world, monkeypatch):
    replace_main(world, "claude-test", "bad-key")
    gateway.refresh()
    ask(gateway, ANTHROPIC)
    operator = {"authorization": "Bearer let-me-see"}
    monkeypatch.setattr("django.conf.settings.WEIR_OPERATOR_TOKEN", "let-me-see")
    shown = gateway.client.get("/providers", headers=operator).json()["resting"]
    (one,) = shown
    assert {**one, "until": None} == {
        "provider": "claude-test claude-upstream", "credential": "main", "model": None, "reason": "401", "until": None,
    }  # fmt: skip
    metrics = gateway.client.get("/metrics", headers=operator).text
    (line,) = [line for line in metrics.splitlines() if line.startswith("weir_credential_cool_downs_total{")
               and 'credential="main",provider="claude-test claude-upstream",reason="401"' in line]  # fmt: skip
    assert float(line.split()[-1]) >= 1
    assert "bad-key" not in metrics + json.dumps(shown)
