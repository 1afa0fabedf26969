"""Whatever goes wrong is told as a problem that a program can read."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError

from apps.api import parsing
from apps.api.resources.me import Me
from apps.api.resources.tenants import Tenants


def code(answer):
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("path", ["/nothing", "/keys/", "/keys/x", "/keys/1/nothing", "/openapi.yaml/x", ""])
def test_a_path_that_leads_nowhere(world, path):
    assert code(world.owner("GET", path)) == (404, "not_found")


def test_an_id_that_no_column_holds(world):
    for pk in ("0", "9" * 19, "9" * 18):
        assert code(world.operator("GET", f"/keys/{pk}")) == (404, "not_found")


def test_a_method_that_is_not_done_here(world):
    answer = world.owner("PUT", "/tenants", {})
    assert code(answer) == (405, "method_not_allowed")
    assert "POST" in answer["Allow"]
    assert code(world.owner("DELETE", f"/tenants/{world.acme.pk}")) == (405, "method_not_allowed")
    assert code(world.owner("OPTIONS", "/tenants")) == (405, "method_not_allowed")


def test_other_media_types(world):
    assert code(world.owner("GET", "/me", accept="text/html")) == (406, "not_acceptable")
    assert code(world.owner("POST", "/projects", b"name=x", content_type="application/x-www-form-urlencoded")) == (
        *(415, "unsupported_media_type"),
    )
    assert code(world.owner("POST", "/projects", b"<x/>", content_type="text/xml")) == (415, "unsupported_media_type")


@pytest.mark.attack("F19")
@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"nothing", b"\xff\xfe", b'{"name": NaN}', b'{"name": "a", "name": "b"}', b"[" * 100_000),
        b'{"n": ' + b"9" * 5_000 + b"}",
    ],
    ids=["cut", "word", "no UTF-8", "NaN", "twice", "deep", "digits"],
)
def test_a_body_that_is_no_json(world, body):
    assert code(world.owner("POST", "/projects", body)) == (400, "bad_request")


@pytest.mark.parametrize("body", [[], "text", 7, None, True])
def test_json_that_is_no_object(world, body):
    answer = world.owner("POST", "/projects", json.dumps(body).encode())
    assert code(answer) == (422, "invalid")


def test_a_body_that_is_too_long(world):
    long = json.dumps({"name": "x" * parsing.MOST_BYTES}).encode()
    assert code(world.owner("POST", "/projects", long)) == (413, "too_large")
    assert code(world.owner("POST", "/projects", {}, transfer_encoding="chunked")) in (
        *((422, "invalid"), (411, "length_required")),
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(("nonsense=1", "nonsense"), ("limit=0", "limit"), ("limit=1000", "limit"), ("limit=x", "limit")),
        *(("tenant=x", "tenant"), ("tenant=-1", "tenant"), ("tenant=99999999999999999999", "tenant")),
        *(("cursor=o", "cursor"), ("cursor=xyz", "cursor"), ("cursor=%00", "cursor"), ("format=api", "format")),
        *(("state=dead", "state"), ("state=%ff", "state")),
    ],
)
def test_a_query_that_cannot_be(world, query, field):
    answer = world.owner("GET", f"/keys?{query}")
    assert code(answer) == (400, "bad_query")
    assert field in answer.json()["errors"]


def test_what_fails_inside_is_told_without_its_words(world, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(Tenants, "rows", classmethod(fail))
    answer = world.operator("GET", "/tenants")
    assert code(answer) == (500, "failed")
    assert b"hunter2" not in answer.content


def test_a_database_that_is_away_can_be_asked_again(world, monkeypatch):
    def away(*_, **__):
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(Me, "list", away)
    answer = world.operator("GET", "/me")
    assert code(answer) == (503, "unavailable")
    assert answer["Retry-After"] == "2"


def test_nothing_is_kept_by_a_cache(world):
    assert world.owner("GET", "/me")["Cache-Control"] == "no-store"
    assert world.nobody("GET", "/me")["Cache-Control"] == "no-store"
