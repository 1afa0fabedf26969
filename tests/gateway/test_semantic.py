"""A question that means the same as one that was asked is given its answer: to whom, at whose cost, and never by
likeness alone. Qdrant runs embedded, as it does where nothing is set up."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings as configured

from apps.catalog import services as catalog
from apps.gateway import aside, kept, semantic
from apps.outbound import vectors as index
from apps.outbound.vectors import vectors
from apps.policies import services as policies
from apps.tenants import services as tenants
from apps.usage.books import verify
from apps.usage.models import Cached, Entry
from tests.gateway.calls import ANTHROPIC, OPENAI
from tests.gateway.calls import ask as call_once
from tests.gateway.conftest import Gateway
from tests.gateway.sockets import call, leave
from tests.gateway.test_cache import RESPONSES, asked, result, said
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

ASKED = "How do I reset the password of my account at the portal?"
ALIKE = "How do I reset the password of my account at the portal please?"
OTHER = "Which rivers of Europe flow into the Black Sea, by length?"


@pytest.fixture
def world(world, monkeypatch, settings, tmp_path):
    """A machine that tests on all its processors is quick enough in some seconds."""
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(kept, "DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(semantic, "DEADLINE_SECONDS", 10.0)
    monkeypatch.setattr(aside, "PATIENCE_SECONDS", 10.0)
    model = world.model("gpt-vectors", capabilities=["embeddings"])
    world.deploy("gpt-vectors", upstream="embedding-upstream", model=model)
    world.compares = {"semantic_model": model, "semantic_threshold": 0.9, "ttl_seconds": 600}
    for name in ("claude-test", "gpt-test"):
        row = catalog.Model.objects.get(name=name)
        policies.create_cache(actor=world.alice, model=row, **world.compares)
    return world


def ready(gateway):
    until(lambda: gateway.engine.shelf.is_up)
    until(lambda: vectors.is_up and not vectors._pending)
    return gateway


@pytest.fixture
def gateway(gateway):
    return ready(gateway)


def ask(gateway, words, path=OPENAI, **change):
    """Its turn, as that path has it; what is to be remembered is, when this returns."""
    turns = {"input": words} if path == RESPONSES else {"messages": [{"role": "user", "content": words}]}
    answer = asked(gateway, path, **(turns | change))
    gateway.settle()
    until(lambda: gateway.engine.shelf.is_settled and not vectors._pending)
    return answer


def kind(answer) -> tuple[str, str]:
    return result(answer), answer.headers.get("x-weir-cache-kind", "")


MISS, EXACT, SEMANTIC = ("miss", ""), ("hit", "exact"), ("hit", "semantic")


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI, RESPONSES])
def test_a_question_that_means_the_same_is_given_the_same_answer(gateway, simulator, path):
    metered_before = len(simulator.readings())
    paid = ask(gateway, ASKED, path)
    before = simulator.seen()
    streamed, whole = ask(gateway, ALIKE, path, stream=True), ask(gateway, ALIKE, path)
    other, exact = ask(gateway, OTHER, path), ask(gateway, ASKED, path)
    assert [kind(answer) for answer in (paid, streamed, whole, other, exact)] == [
        MISS, SEMANTIC, SEMANTIC, MISS, EXACT,
    ]  # fmt: skip
    assert 0.9 < float(whole.headers["x-weir-cache-similarity"]) < 1
    assert said(path, paid, False) == said(path, whole, False) == said(path, streamed, True)
    assert simulator.seen() == before + 4, "three vectors, and one answer"
    rows = list(Entry.objects.order_by("id"))
    vectors_, answers = ([row for row in rows if (row.endpoint == "embeddings") is of] for of in (True, False))
    assert len(vectors_) == 4
    metered = simulator.readings()[metered_before:]
    assert sum(one.billed.fresh for one in metered) == sum(row.in_fresh for row in rows), "as the provider's meter says"
    assert all(row.cost_nano > 0 and row.key_id == gateway.world.key_row.pk for row in vectors_)
    assert {row.request_id for row in vectors_}.isdisjoint(row.request_id for row in answers)
    assert [row.trace_id for row in vectors_] == [row.trace_id for row in answers[:4]]
    first, hit, *_ = answers
    assert (hit.cached, hit.cost_nano, hit.out_total, hit.saved_nano) == (Cached.SEMANTIC, 0, 0, first.cost_nano)
    assert hit.trail[-1].startswith("cache hit: semantic, ")
    assert [row.cached for row in answers] == [None, Cached.SEMANTIC, Cached.SEMANTIC, None, Cached.EXACT]
    assert verify.run().violations == 0


@pytest.mark.attack("F27", "F31")
def test_likeness_alone_finds_nothing(gateway, world):
    """Whoever differs in what must be equal is not answered by another's answer, be the words the very same."""
    other = tenants.create_tenant(actor=world.alice, name="Globex")
    strangers = [world.issue_for(other), world.issue(models=["gpt-test", "gpt-vectors"])]
    gateway.refresh()
    assert kind(ask(gateway, ASKED)) == MISS
    assert [kind(ask(gateway, ASKED, key=key)) for key in strangers] == [MISS, MISS]
    assert kind(ask(gateway, ALIKE)) == SEMANTIC
    assert kind(ask(gateway, ALIKE, ANTHROPIC)) == MISS
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED}]
    assert kind(ask(gateway, ALIKE, messages=system)) == MISS
    assert kind(ask(gateway, ALIKE, max_tokens=50)) == MISS
    assert kind(ask(gateway, ALIKE.replace("portal", "portal 7"))) == MISS, "it has another figure"
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    before = Entry.objects.filter(endpoint="embeddings").count()
    assert kind(ask(gateway, ALIKE, tools=tools)) == MISS
    assert Entry.objects.filter(endpoint="embeddings").count() == before, "it was not compared"
    deployment = catalog.Model.objects.get(name="gpt-test").deployments.get()
    catalog.set_price(deployment, actor=world.alice, input=1, output=2)
    gateway.refresh()
    assert kind(ask(gateway, ASKED)) == MISS


@pytest.mark.attack("F31")
def test_what_is_thrown_away_is_not_found_and_leaves_the_index(gateway, world):
    held = lambda: vectors.submit(vectors.holdings).result()  # noqa: E731
    cache = catalog.Model.objects.get(name="gpt-test").cache_policy
    for forget in (lambda: policies.forget_answers(cache, actor=world.alice),
                   lambda: policies.forget_tenant(world.tenant, actor=world.alice)):  # fmt: skip
        assert [kind(ask(gateway, words)) for words in (ASKED, ALIKE)] == [MISS, SEMANTIC]
        (one,) = held()
        assert (one.tenant, one.policy, one.count, one.hits) == (world.tenant.pk, f"model {cache.model_id}", 1, 1)
        assert one.saved == Entry.objects.filter(cached=Cached.SEMANTIC).latest("id").saved_nano
        forget()
        gateway.refresh()
        until(lambda: not held())
    assert kind(ask(gateway, ASKED)) == MISS
    policies.update_cache(cache, actor=world.alice, max_bytes=cache.max_bytes - 1)
    gateway.refresh()
    until(lambda: not vectors._pending)
    assert [one.count for one in held()] == [1], "what came after stays when it is looked through again"


def test_a_call_goes_on_when_its_question_cannot_be_compared(gateway, world, monkeypatch):
    def step() -> str:
        rows = Entry.objects.exclude(endpoint="embeddings").latest("id")
        return next(step for step in rows.trail if step.startswith("cache:"))

    locked_out = world.issue(models=["gpt-test"])
    assert kind(ask(gateway, ASKED, key=locked_out)) == MISS
    assert step() == "cache: not compared, its embedding failed (404)"
    policy = policies.create_policy(actor=world.alice, name="eu", required_tags=["eu"])
    provider = catalog.Model.objects.get(name="gpt-test").deployments.get().provider
    catalog.update_provider(provider, actor=world.alice, tags=["eu"])
    policies.assign(policy, actor=world.alice, key=world.key_row)
    gateway.refresh()
    assert kind(ask(gateway, ASKED)) == MISS
    assert step().startswith("cache: not compared, its embedding failed (")
    policies.remove_policy(policy, actor=world.alice)
    deployment = catalog.Model.objects.get(name="gpt-vectors").deployments.get()
    catalog.update_deployment(deployment, actor=world.alice, upstream_model="embedding-slow-700")
    gateway.refresh()
    monkeypatch.setattr(aside, "PATIENCE_SECONDS", 0.05)
    assert kind(ask(gateway, OTHER)) == MISS
    assert step() == "cache: not compared, its embedding took more than 0.05 s"
    gateway.settle()
    assert verify.run().violations == 0
    vectors.rest("the test says so")
    assert kind(ask(gateway, ALIKE)) == MISS
    assert step() == "cache: not compared, the index is not available"


def test_a_vector_has_the_place_of_the_call_that_waits_for_it(gateway, world, simulator):
    """A key of one call at a time can compare, and can make no second call meanwhile."""
    name = "gpt-slow-700"
    world.deploy(name, upstream=name)
    policies.create_cache(actor=world.alice, model=catalog.Model.objects.get(name=name), **world.compares)
    world.limit(key=world.key_row, concurrency=1, requests_per_minute=100)
    world.limit(model=catalog.Model.objects.get(name="gpt-vectors"), concurrency=1)
    gateway.refresh()
    assert [kind(ask(gateway, words)) for words in (ASKED, ALIKE)] == [MISS, SEMANTIC]
    before = simulator.seen()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, gateway, OTHER, model=name)
        until(lambda: simulator.seen() == before + 2)
        refused = call_once(gateway, OPENAI, model="gpt-test")
        assert refused.status_code == 429
        assert "concurrent requests for this key" in refused.text
        assert kind(slow.result()) == MISS
    assert kind(ask(gateway, OTHER, model=name)) == EXACT, "its place is free again"
    assert set(Entry.objects.filter(endpoint="embeddings").values_list("status", flat=True)) == {"ok"}


def test_an_index_that_hangs_holds_no_call(gateway, world, monkeypatch):
    monkeypatch.setattr(semantic, "DEADLINE_SECONDS", 0.05)
    hangs = threading.Event()
    vectors.submit(hangs.wait)
    try:
        assert kind(asked(gateway, OPENAI)) == MISS
        gateway.settle()
        row = Entry.objects.exclude(endpoint="embeddings").get()
        assert "cache: not compared, the index takes too long" in row.trail
        assert not vectors.is_up
    finally:
        hangs.set()


def test_who_leaves_while_a_vector_is_made_leaves_no_call_behind(gateway, world, simulator):
    deployment = catalog.Model.objects.get(name="gpt-vectors").deployments.get()
    catalog.update_deployment(deployment, actor=world.alice, upstream_model="embedding-slow-9000")
    gateway.refresh()
    turns = [{"role": "user", "content": ASKED}]
    before = simulator.seen()
    caller = call(gateway, ANTHROPIC, model="claude-test", max_tokens=64, temperature=0, messages=turns)
    until(lambda: simulator.seen() == before + 1)
    leave(caller, "rst")
    gateway.settle()
    (row,) = Entry.objects.all()
    assert (row.endpoint, row.status) == ("embeddings", "client_gone")
    assert verify.run().violations == 0


def test_a_folder_that_somebody_has_or_that_cannot_be_read_stops_no_call(world, settings, monkeypatch):
    monkeypatch.setattr(index, "REST_SECONDS", 0.05)
    folder = Path(configured.VAR_DIR) / "qdrant"
    folder.mkdir()
    (folder / "meta.json").write_text("{")
    with (Path(configured.VAR_DIR) / "qdrant.lock").open("a") as lock:
        index.fcntl.flock(lock, index.fcntl.LOCK_EX)
        running = Gateway(world)
        try:
            until(lambda: vectors.trouble)
            assert "several need WEIR_QDRANT_URL" in vectors.trouble
            assert kind(ask(running, ASKED)) == MISS
            index.fcntl.flock(lock, index.fcntl.LOCK_UN)
            until(lambda: vectors.open() or vectors.is_up)
            assert [kind(ask(running, words)) for words in (OTHER, OTHER.replace(" by ", " in "))] == [MISS, SEMANTIC]
        finally:
            running.stop()
    shutil.rmtree(folder)
