"""The admin's page of how the installation fares."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from apps.events import services
from apps.quotas import replicas, windows
from gateway_site import health_page
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def test_it_tells_checks_gateways_and_providers(operator: Client) -> None:
    factories.provider("Main")
    windows.beat("gateway-1", epoch=windows.register("gateway-1"), about=replicas.about())
    windows.beat("gateway-0", epoch=windows.register("gateway-0"), about='{"version": "0.1.0"}')
    page = operator.get(reverse("admin:health"))
    text = page.content.decode()
    assert page.status_code == 200
    assert "which tells of no event" not in text  # nobody would hear of one
    assert [word for word in ("database", "gateway-1", "Main", "There is none.", "Examine") if word not in text] == []
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


def test_it_is_for_who_runs_the_installation(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse("admin:health")).status_code == 403


def test_a_browser_that_asks_for_the_telling_page_is_led_there(client: Client) -> None:
    answer = client.get("/health/detailed", headers={"accept": "text/html,*/*"})
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:health"))
    token = {"accept": "text/html", "authorization": f"Bearer {settings.WEIR_OPERATOR_TOKEN}"}
    assert "checks" in client.get("/health/detailed", headers=token).json()
