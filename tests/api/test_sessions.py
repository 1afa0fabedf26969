"""People who are signed in may use the API too, from pages of this site only."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse


def signed_in(person, **options):
    client = Client(**options)
    client.force_login(person)
    return client


def test_who_is_signed_in_reads(world):
    told = signed_in(world.people["owner"]).get("/api/v1/me").json()
    assert (told["username"], told["token"]) == ("olga", None)


@pytest.mark.attack("F29")
def test_what_changes_something_takes_the_token_against_forgery(world):
    client = signed_in(world.people["owner"], enforce_csrf_checks=True)
    body = {"tenant": world.acme.pk, "name": "Forged"}
    forged = client.post("/api/v1/projects", body, content_type="application/json")
    assert (forged.status_code, forged["Content-Type"]) == (403, "application/problem+json")
    assert "CSRF" in forged.json()["detail"]
    client.cookies["csrftoken"] = word = "a" * 32
    made = client.post("/api/v1/projects", body, content_type="application/json", headers={"x-csrftoken": word})
    assert made.status_code == 201


def test_a_session_issues_tokens_and_a_form_does_nothing(world):
    client = signed_in(world.people["developer"])
    made = client.post("/api/v1/tokens", {"name": "mine", "scope": "write"}, content_type="application/json")
    assert made.status_code == 201
    formed = client.post("/api/v1/tokens", {"name": "mine"})
    assert formed.status_code == 415


def test_the_description_and_its_page_are_open_and_run_nothing_inline(world):
    client = Client()
    text = client.get(reverse("api:description")).content.decode()
    assert text.startswith("openapi: 3.1.0")
    page = client.get(reverse("api:documentation"))
    assert page.status_code == 200
    assert b"<style" not in page.content
    assert all(b"src=" in tag for tag in page.content.split(b"<script")[1:])
