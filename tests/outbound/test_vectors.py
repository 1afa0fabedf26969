"""Qdrant in a folder and on a server: what it finds, and what it does not hold any longer."""

from __future__ import annotations

import uuid

import pytest

from apps.outbound import vectors as index
from apps.outbound.pool import tls_context
from apps.outbound.vectors import Generations, Point, Vectors
from apps.runtime import clock
from tests.outbound.qdrant import standing
from tests.outbound.test_tls import certificate

pytestmark = pytest.mark.once
SCOPE, MOST = "a" * 64, 1_000
RIGHT, UP = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
NOW = 1_000_000.0


@pytest.fixture
def folder(settings, tmp_path, monkeypatch):
    settings.VAR_DIR, settings.REDIS_URL = tmp_path, ""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    one = Vectors()
    one.open()
    yield one
    one.close()


@pytest.fixture(params=["folder", "server"])
def vectors(request, folder, settings):
    """In either place."""
    if request.param == "folder":
        yield folder
        return
    with standing() as server:
        settings.WEIR_QDRANT_URL = server.url
        one = Vectors()
        one.open()
        yield one
        one.close()


def point(vector: list[float] = RIGHT, **changes) -> Point:
    fields = {
        **{"id": str(uuid.uuid4()), "vector": vector, "scope": SCOPE, "ref": "00", "tenant": 1, "model": 2},
        **{"policy": "model 2", "generation": 5, "of_tenant": 0, "kept_at": NOW, "expires": NOW + 60, "size": 10},
    }
    return Point(**(fields | changes))


def put(vectors: Vectors, *points: Point, most: int = MOST) -> None:
    for one in points:
        vectors.submit(lambda one=one: vectors.put(one, most=most)).result()


def found(vectors: Vectors, vector: list[float] = RIGHT, *, scope: str = SCOPE, tenant: int = 1) -> list[str]:
    near = vectors.submit(lambda: vectors.nearest(vector, scope=scope, tenant=tenant, threshold=0.9)).result()
    return [one.id for one in near]


def count(vectors: Vectors) -> int:
    return sum(one.count for one in vectors.submit(vectors.holdings).result())


def test_only_what_is_near_enough_in_its_own_scope_and_of_its_own_tenant_is_found(vectors):
    assert found(vectors) == [], "nothing has been put"
    put(vectors, here := point(), point(scope="b" * 64), point(tenant=2), point(UP), point(expires=NOW))
    put(vectors, longer := point([*RIGHT, 0.0]))
    assert found(vectors) == found(vectors, [0.95, 0.1, 0.1]) == [here.id]
    assert found(vectors, [0.7, 0.7, 0.0]) == found(vectors, scope="c" * 64) == found(vectors, tenant=3) == []
    assert found(vectors, [*RIGHT, 0.0]) == [longer.id], "vectors of another size are apart"


def test_what_is_over_or_thrown_away_is_dropped_and_the_fullest_tenant_makes_room(vectors):
    put(vectors, *(point(expires=NOW + n) for n in range(3)), point(policy="key 1"), point(tenant=2, of_tenant=7))
    assert count(vectors) == 4, "one is over"
    sweep = lambda **how: vectors.submit(lambda: vectors.sweep(**({"most": MOST} | how))).result()  # noqa: E731
    sweep(current=Generations({"model 2": 5}, {2: 7}))
    assert [(one.tenant, one.count) for one in vectors.submit(vectors.holdings).result()] == [(1, 2), (2, 1)]
    sweep(most=2)
    assert [(one.tenant, one.count) for one in vectors.submit(vectors.holdings).result()] == [(1, 1), (2, 1)]
    sweep(current=Generations({"model 2": 5}, {2: 8}))
    assert [one.tenant for one in vectors.submit(vectors.holdings).result()] == [1]
    sweep(current=Generations({"model 2": 6}, {}))
    assert count(vectors) == 0
    put(vectors, *(point(tenant=n % 3) for n in range(40)), most=20)
    assert count(vectors) <= 22


def test_it_counts_who_was_answered_and_what_was_saved(vectors):
    put(vectors, point())
    for _ in range(2):
        (near,) = vectors.submit(lambda: vectors.nearest(RIGHT, scope=SCOPE, tenant=1, threshold=0.9)).result()
        vectors.submit(lambda near=near: vectors.used(near, size=3, saved=70)).result()
    (held,) = vectors.submit(vectors.holdings).result()
    assert (held.hits, held.saved, held.size, held.model) == (2, 140, 10, 2)


def test_what_led_to_answers_in_redis_outlives_the_process_and_a_broken_folder_is_put_aside(folder, settings):
    vectors = folder
    settings.REDIS_URL = "redis://nobody.example"
    put(vectors, kept := point())
    vectors.close()
    vectors.open()
    assert found(vectors) == [kept.id]
    vectors.close()
    (settings.VAR_DIR / "qdrant" / "meta.json").write_text("{")
    vectors.open()
    assert found(vectors) == []
    assert (settings.VAR_DIR / "qdrant.broken" / "meta.json").read_text() == "{"
    put(vectors, point())
    vectors.close()
    settings.REDIS_URL = ""
    vectors.open()
    assert found(vectors) == [], "the answers were in the process that has ended"


def test_a_server_is_asked_with_its_key_past_any_proxy_and_shared_with_other_gateways(settings, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with standing() as server:
        settings.WEIR_QDRANT_URL, settings.WEIR_QDRANT_API_KEY = server.url, "a key"
        ours, theirs = Vectors(), Vectors()
        for each in (ours, theirs):
            each.open()
            each.submit(lambda: None).result()
        put(theirs, kept := point(expires=clock.now() + 60))
        assert found(ours) == [kept.id]
        assert count(ours) == 1
        assert {key for *_, key in server.asked} == {"a key"}
        assert [path for _, path, _ in server.asked].count("/collections/weir_3/index") == 2
        for each in (ours, theirs):
            each.close()


def test_two_gateways_may_make_the_same_collection_at_once(settings):
    with standing() as server:
        settings.WEIR_QDRANT_URL, server.is_raced = server.url, True
        one = Vectors()
        one.open()
        put(one, kept := point(expires=clock.now() + 60))
        assert (found(one), one.trouble, one.is_up) == ([kept.id], "", True)
        assert [path for _, path, _ in server.asked].count("/collections/weir_3/index") == 2
        one.close()


def test_a_server_that_fails_or_hangs_is_left_alone_for_a_while(settings, monkeypatch, caplog):
    monkeypatch.setattr(index, "SERVER_SECONDS", 1)
    with standing() as server:
        settings.WEIR_QDRANT_URL = server.url
        one = Vectors()
        one.open()
        put(one, point(expires=clock.now() + 60))
        with server.lock, pytest.raises(Exception, match="timed out"):
            found(one)
        assert (one.is_up, one.trouble) == (False, "timed out")
        assert found(one), "who asks all the same is answered"
        one.close()
    one = Vectors()
    one.open()
    with pytest.raises(Exception, match="refused"):
        put(one, point())
    assert not one.is_up
    assert "refused" in one.trouble
    one.close()
    assert sum("no questions are compared" in record.getMessage() for record in caplog.records) == 2


@pytest.mark.parametrize("is_trusted", [True, False])
def test_its_certificate_is_judged_as_a_providers(settings, tmp_path, monkeypatch, is_trusted):
    monkeypatch.setattr(index, "SERVER_SECONDS", 20)
    with standing(certificate(tmp_path, host="qdrant.test")) as server:
        settings.WEIR_QDRANT_URL = server.url
        if is_trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
            tls_context.cache_clear()
        one = Vectors()
        one.open()
        if is_trusted:
            put(one, kept := point(expires=clock.now() + 60))
            assert found(one) == [kept.id]
        else:
            with pytest.raises(Exception, match="certificate verify failed"):
                put(one, point())
            assert server.asked == []
        one.close()
        tls_context.cache_clear()


@pytest.mark.parametrize(
    ("url", "scheme", "port"),
    [
        ("https://qdrant.example:6333", "https", 6333),
        ("https://qdrant.example:443/behind", "https", 443),
        ("http://qdrant.example", "http", 6333),
    ],
)
def test_its_client_asks_where_it_is_told_to_with_the_key_in_its_header_and_in_time(
    settings, monkeypatch, url, scheme, port
):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    settings.WEIR_QDRANT_URL, settings.WEIR_QDRANT_API_KEY = url, "a key"
    client = index._server()
    remote = client._client
    assert (remote._scheme, remote._host, remote._port) == (scheme, "qdrant.example", port)
    assert remote._prefix == url.partition("example")[2].partition("/")[1] + url.partition("behind")[1]
    assert not remote._prefer_grpc
    sender = remote.openapi_client.client._client
    assert sender.headers["api-key"] == "a key"
    assert sender.timeout.as_dict() == dict.fromkeys(("connect", "read", "write", "pool"), index.SERVER_SECONDS)
    assert not sender.trust_env
    client.close()


def test_without_its_package_it_says_so_and_stays_down(settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(index, "is_installed", lambda: False)
    one = Vectors()
    one.open()
    with pytest.raises(RuntimeError, match="qdrant-client is not installed"):
        one.submit(lambda: None).result()
    assert not one.is_up
    one.close()
