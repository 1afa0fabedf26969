"""A page whose question takes longer than the database may: who looks is told that, and no more."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test import Client

from apps.usage import selectors

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True), pytest.mark.attack("F33")]


@pytest.fixture
def client(django_user_model) -> Client:
    person = django_user_model.objects.create_superuser("dora", "dora@example.org", "a long enough password")
    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def test_a_page_that_takes_too_long_says_so(client, monkeypatch):
    def slow(*_, **__):
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '50ms'")
            cursor.execute("SELECT pg_sleep(60)")

    monkeypatch.setattr(selectors, "overview", slow)
    answer = client.get("/admin/")
    connection.close()
    assert answer.status_code == 503
    assert "This took too long" in answer.content.decode()
    assert not [word for word in ("Traceback", "pg_sleep", "QueryCanceled") if word in answer.content.decode()]


def test_another_failure_of_the_database_is_not_taken_for_that(client, monkeypatch):
    def away(*_, **__):
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(selectors, "overview", away)
    answer = client.get("/admin/")
    assert answer.status_code == 500
    assert "Something broke" in answer.content.decode()
