"""Requests at the same moment. What they write is committed, so they share no module with others' world."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections

from apps.access import repeats
from apps.api import repeating
from apps.tenants.models import Project
from tests import factories
from tests.api import caller


@pytest.mark.django_db(transaction=True)
def test_of_two_that_race_one_is_done(monkeypatch):
    """The second comes while the first is in the middle of it."""
    tenant = factories.tenant("Racing")
    program = caller.of(factories.user("racer", is_superuser=True))
    inside, go_on = threading.Event(), threading.Event()
    finish = repeats.finish
    answers = {}

    def held(*arguments, **options):
        inside.set()
        assert go_on.wait(30)
        finish(*arguments, **options)

    def send(name):
        try:
            body = {"tenant": tenant.pk, "name": "Raced"}
            answers[name] = program.post("/projects", body, idempotency_key="race")
        finally:
            connections.close_all()

    monkeypatch.setattr(repeating.repeats, "finish", held)
    first = threading.Thread(target=send, args=("first",))
    first.start()
    assert inside.wait(30)
    if connection.vendor == "postgresql":  # SQLite lets in one writer at a time, and the second would wait for it
        send("second")
    go_on.set()
    first.join()
    monkeypatch.setattr(repeating.repeats, "finish", finish)
    send("third")
    assert answers["first"].status_code == 201
    if "second" in answers:
        assert (answers["second"].status_code, answers["second"].json()["code"]) == (409, "conflict")
    assert answers["third"].json() == answers["first"].json()
    assert Project.objects.filter(name="Raced").count() == 1
