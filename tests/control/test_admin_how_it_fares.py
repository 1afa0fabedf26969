"""The admin's page of how the installation fares."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.events import services
from apps.events.models import Cursor
from apps.quotas import windows
from apps.runtime import gateways
from gateway_site import health_page
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def test_it_tells_checks_gateways_and_providers(operator: Client) -> None:
    factories.provider("Main")
    windows.beat("gateway-1", epoch=windows.register("gateway-1"), about=gateways.said())
    windows.beat("gateway-0", epoch=windows.register("gateway-0"), about='{"version": "0.1.0"}')
    page = operator.get(reverse("admin:health"))
    text = page.content.decode()
    assert page.status_code == 200
    assert "which tells of no event" not in text  # nobody would hear of one
    wanted = ("database", "gateway-1", "Main", "No other system is told of events", "Examine")
    assert [word for word in wanted if word not in text] == []
    assert settings.WEIR_OPERATOR_TOKEN not in text


def test_it_tells_which_gateway_is_too_old_for_events(operator: Client) -> None:
    windows.beat("gateway-0", epoch=windows.register("gateway-0"), about='{"version": "0.1.0"}')
    services.create_sink(actor=None, name="hook", kind="webhook", target="https://events.example.org/in")
    assert "0.1.0, which tells of no event" in operator.get(reverse("admin:health")).content.decode()


def test_it_examines_for_whoever_posts_a_token_of_the_page_and_one_at_a_time(operator: Client) -> None:
    place = reverse("admin:health")
    assert "What the doctor finds" not in operator.get(place, {"examine": "1"}).content.decode()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(place).status_code == 403
    with health_page._examining:
        text = operator.post(place).content.decode()
    assert "Somebody else examines just now" in text
    assert "What the doctor finds" not in text
    assert "What the doctor finds" in operator.post(place).content.decode()


def test_it_begins_with_what_needs_a_look(operator: Client) -> None:
    text = operator.get(reverse("admin:health")).content.decode()
    assert 'href="#beside">Beside calls: chores and books</a> (3)' in text, "no beat, no worker, no check of the books"
    assert "python -m gateway_site.worker" in text
    assert 'href="#sinks"' not in text
    sink = services.create_sink(actor=None, name="hook", kind="webhook", target="https://events.example.org/in")
    assert 'href="#sinks"' not in operator.get(reverse("admin:health")).content.decode()
    Cursor.objects.filter(sink=sink).update(failing_since=timezone.now(), message="answered 503")
    text = operator.get(reverse("admin:health")).content.decode()
    assert 'href="#sinks">Event sinks</a> (1)' in text
    assert '<td data-label="What it was told last">answered 503</td>' in text


def test_a_column_that_says_nothing_of_any_row_is_left_out(operator: Client) -> None:
    factories.provider("Main")
    text = operator.get(reverse("admin:health")).content.decode()
    part = text.partition('id="providers"')[2].partition("</section>")[0]
    assert re.findall(r'<th scope="col">(.*?)</th>', part) == ["Provider", "State", "Checked"]


def test_it_is_for_who_runs_the_installation(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse("admin:health")).status_code == 403


def test_a_browser_that_asks_for_the_telling_page_is_led_there(client: Client) -> None:
    answer = client.get("/health/detailed", headers={"accept": "text/html,*/*"})
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:health"))
    token = {"accept": "text/html", "authorization": f"Bearer {settings.WEIR_OPERATOR_TOKEN}"}
    assert "checks" in client.get("/health/detailed", headers=token).json()
