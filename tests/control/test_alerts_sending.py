"""Notices arrive: signed, tried again under the same id, by one worker at a time, and nowhere they must not go."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.alerts import outbox, services
from apps.alerts.models import Delivery, Destination
from apps.catalog.models import AllowedNetwork
from tests.control import receivers

pytestmark = pytest.mark.django_db
MINUTE = datetime.timedelta(minutes=1)
NOW = timezone.now().replace(microsecond=0)
BODY = {"type": "alert.raised", "timestamp": "then", "data": {"title": "A <b> & c", "text": "line\nline", "level": 3}}


@pytest.fixture
def hook():
    with receivers.receiver() as found:
        yield found


@pytest.fixture
def opened(db):
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")


def made(hook, kind="webhook"):
    return services.create_destination(actor=None, tenant=None, name=kind, kind=kind, target=hook.url)


def put(destination):
    outbox.put(f"test {uuid.uuid4()}", "alert.raised", BODY, destination=destination)
    return Delivery.objects.latest("created_at")


def is_signed(heard, secret):
    """As a receiver checks it, by the words of standardwebhooks.com."""
    name, at = heard.headers["webhook-id"], heard.headers["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mark = base64.b64encode(hmac.digest(key, f"{name}.{at}.".encode() + heard.body, hashlib.sha256)).decode()
    return f"v1,{mark}" in heard.headers["webhook-signature"].split(" ")


def test_a_webhook_is_signed_and_says_what_happened(hook, opened):
    destination, secret = made(hook)
    delivery = put(destination)
    assert outbox.send_due(timezone.now()) == 1
    (heard,) = hook.heard
    assert json.loads(heard.body) == BODY
    assert heard.headers["webhook-id"] == str(delivery.pk)
    assert is_signed(heard, secret)
    assert not is_signed(heard, "whsec_" + base64.b64encode(b"x" * 32).decode())
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.outcome) == ("sent", 1, "answered 204")
    assert outbox.send_due(timezone.now() + 999 * MINUTE) == 0


def test_the_secret_is_sealed_and_while_it_is_rotated_both_sign(hook, opened):
    destination, first = made(hook)
    assert first.removeprefix("whsec_") not in str(Destination.objects.values().get())
    second = services.rotate_secret(destination, actor=None).secret
    put(destination)
    outbox.send_due(timezone.now())
    later = timezone.now() + services.OVERLAP
    delivery = put(destination)
    outbox.send(delivery.pk, now=later)
    assert [is_signed(heard, first) for heard in hook.heard] == [True, False]
    assert [is_signed(heard, second) for heard in hook.heard] == [True, True]


def test_what_does_not_arrive_is_tried_again_under_its_id_and_given_up_in_the_end(hook, opened):
    delivery = put(made(hook).destination)
    hook.statuses = [500] * 20
    now, tries = timezone.now(), []
    for _ in range(20):
        outbox.send_due(now)
        delivery.refresh_from_db()
        if delivery.next_at is None:
            break
        tries.append(int((delivery.next_at - now) / MINUTE))
        assert outbox.send_due(delivery.next_at - MINUTE / 60) == 0
        now = delivery.next_at
    assert tries == [1, 5, 15, 60, 180, 360, 720]
    assert (delivery.state, delivery.attempts, delivery.outcome) == ("given_up", 8, "answered 500")
    assert {heard.headers["webhook-id"] for heard in hook.heard} == {str(delivery.pk)}
    assert len(hook.heard) == 8


def test_a_receiver_that_is_back_gets_it(hook, opened):
    delivery = put(made(hook).destination)
    hook.statuses = [503]
    outbox.send_due(timezone.now())
    assert outbox.send_due(timezone.now() + 2 * MINUTE) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("sent", 2)


@pytest.mark.parametrize(("status", "state"), [(410, "given_up"), (302, "pending"), (404, "pending")])
def test_one_that_is_gone_is_given_up_and_redirects_are_not_followed(hook, opened, status, state):
    delivery = put(made(hook).destination)
    hook.statuses = [status]
    outbox.send_due(timezone.now())
    delivery.refresh_from_db()
    assert (delivery.state, delivery.outcome, len(hook.heard)) == (state, f"answered {status}", 1)


def test_two_workers_send_it_once(hook, opened):
    """The second one comes while the first is at it."""
    delivery = put(made(hook).destination)
    at = timezone.now()
    first = Delivery.objects.filter(pk=delivery.pk, state="pending", next_at__lte=at)
    assert first.update(next_at=at + outbox.CLAIMED) == 1  # as `send` begins
    assert not outbox.send(delivery.pk, now=at)
    assert hook.heard == []
    # The first one has died: when its claim is over, another sends it.
    assert outbox.send(delivery.pk, now=at + outbox.CLAIMED)
    assert [heard.headers["webhook-id"] for heard in hook.heard] == [str(delivery.pk)]


def test_it_is_made_once_for_a_reason_and_a_receiver(hook, opened):
    destination = made(hook).destination
    assert [outbox.put("r", "alert.raised", BODY, destination=destination) for _ in range(3)] == [True, False, False]
    assert outbox.put("r", "alert.raised", BODY, address="a@example.com")
    assert not outbox.put("r", "alert.raised", BODY, address="A@example.com")


def test_a_tenant_s_webhook_never_reaches_what_operators_have_opened(hook, opened, acme):
    with pytest.raises(ValidationError):
        services.create_destination(actor=None, tenant=acme, name="in", kind="webhook", target=hook.url)
    destination = made(hook).destination
    Destination.objects.filter(pk=destination.pk).update(
        tenant=acme, kind="slack", target=hook.url
    )  # as if it had slipped through
    delivery = put(Destination.objects.get())
    outbox.send_due(timezone.now())
    delivery.refresh_from_db()
    assert (delivery.state, delivery.outcome, hook.heard) == ("pending", "address refused", [])


def test_slack_gets_its_shape_and_no_markup_of_ours(hook, opened):
    put(made(hook, "slack").destination)
    outbox.send_due(timezone.now())
    (heard,) = hook.heard
    assert json.loads(heard.body) == {"text": "*A &lt;b&gt; &amp; c*\nline\nline"}
    assert "webhook-signature" not in heard.headers


def test_mail_goes_to_a_real_server_as_text_and_as_html(settings, db):
    with receivers.mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.WEIR_HAS_MAIL = "127.0.0.1", server.port, True
        target = "us@example.com, them@example.com"
        destination = services.create_destination(actor=None, tenant=None, name="m", kind="email", target=target)
        delivery = put(destination.destination)
        assert outbox.send_due(timezone.now()) == 1
    (mail,) = server.mails
    assert mail["subject"] == "[Weir] A <b> & c"
    assert mail["to"] == target
    assert mail["x-weir-id"] == str(delivery.pk)
    text, html = (part.get_content() for part in mail.iter_parts())
    assert "A <b> & c" in text
    assert "A &lt;b&gt; &amp; c" in html


def test_without_a_mail_server_that_is_said_and_it_is_tried_again(settings, db):
    settings.WEIR_HAS_MAIL = False
    destination = services.create_destination(actor=None, tenant=None, name="m", kind="email", target="a@example.com")
    delivery = put(destination.destination)
    outbox.send_due(timezone.now())
    delivery.refresh_from_db()
    assert (delivery.state, delivery.outcome) == ("pending", "no mail server is set: WEIR_EMAIL_URL")


def test_a_test_waits_for_the_answer_and_is_kept(hook, opened):
    destination, secret = made(hook)
    hook.statuses = [204, 500]
    found = [outbox.send_test(destination) for _ in range(2)]
    assert [(each.state, each.outcome) for each in found] == [("sent", "answered 204"), ("given_up", "answered 500")]
    assert all(is_signed(heard, secret) for heard in hook.heard)
    assert Delivery.objects.filter(destination=destination, event="alert.test").count() == 2


def test_what_is_long_over_is_forgotten(hook, opened):
    delivery = put(made(hook).destination)
    waiting = put(Destination.objects.get())
    outbox.send(delivery.pk, now=timezone.now())
    assert outbox.forget(timezone.now()) == 0
    assert outbox.forget(timezone.now() + outbox.KEPT + MINUTE) == 1
    assert list(Delivery.objects.all()) == [waiting]
