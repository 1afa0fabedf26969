"""Bodies that are too long for pages and the management API: refused before they are on a disk."""

from __future__ import annotations

import tempfile

import pytest

from gateway_site import asgi
from gateway_site.bodies import bounded

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F18")]

MOST = 10_000
PAGE, API = "/sign-in/", "/api/v1/projects"
KIND = {PAGE: "text/plain", API: "application/problem+json"}


@pytest.fixture
def written(monkeypatch) -> list[int]:
    """What bodies Django has kept, by their bytes."""
    found: list[int] = []

    class File(tempfile.SpooledTemporaryFile):
        def write(self, given):
            found.append(len(given))
            return super().write(given)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", File)
    monkeypatch.setattr(asgi, "bounded_application", bounded(asgi.django_application, MOST))
    return found


@pytest.mark.parametrize("path", [PAGE, API])
def test_a_body_that_is_too_long_is_not_kept(gateway, written, path):
    def flood():
        for _ in range(1_000):
            yield b"x" * 1_000

    for content in (b"x" * (MOST + 1), flood()):
        answer = gateway.client.post(path, content=content, headers={"accept": "text/html"})
        assert answer.status_code == 413
        assert answer.headers["content-type"] == KIND[path]
        assert answer.headers["connection"] == "close"
        assert f"{MOST:,} bytes are the most" in answer.text
    assert sum(written) <= MOST


def test_one_that_is_not_is(gateway, written):
    def body():
        yield from [b"x" * 1_000] * (MOST // 1_000)

    assert gateway.client.post(PAGE, content=body(), headers={"accept": "text/html"}).status_code == 403  # no token
    assert sum(written) == MOST
