"""One notice, sent once: by e-mail, as a signed webhook, or as Slack and those who copy it take it."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from apps.alerts import sealed_urls, services
from apps.alerts.models import Delivery, Destination
from apps.catalog.keyrings.ring import KeyringUnavailable
from apps.catalog.vault import SecretUnreadable
from apps.outbound import documents, webhooks

SECONDS = 10.0
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # Slack's, and no others


class Result(NamedTuple):
    """`told` is for people. `is_final`: another try would end like this one."""

    ok: bool
    told: str
    is_final: bool = False


def send(delivery: Delivery, *, now: datetime) -> Result:
    destination = delivery.destination
    if destination is None:
        return _mail([delivery.address], delivery)
    if not destination.is_enabled:
        return Result(False, "the destination has been disabled", is_final=True)
    if destination.kind == Destination.Kind.EMAIL:
        return _mail(destination.addresses, delivery)
    try:
        url = sealed_urls.url_of(destination)
        if destination.kind == Destination.Kind.SLACK:
            return _post(url, json.dumps({"text": _slack_text(delivery.body)}).encode(), {}, destination.networks)
        keys = services.secrets_of(destination, now=now)
    except (SecretUnreadable, KeyringUnavailable):
        return Result(False, "its secret cannot be read at present")
    body = json.dumps(delivery.body, separators=(",", ":")).encode()
    return _post(url, body, webhooks.signed(str(delivery.pk), body, keys=keys, now=now), destination.networks)


def _post(url: str, body: bytes, headers: Mapping[str, str], networks: tuple[str, ...]) -> Result:
    """Redirects are not followed: they could lead anywhere."""
    said = {"content-type": "application/json", "user-agent": "weir-alerts", **headers}
    try:
        reply = documents.ask("POST", url, networks=networks, headers=said, body=body, seconds=SECONDS, most=0)
    except documents.Unavailable as error:
        return Result(False, error.reason)
    is_taken = 200 <= reply.status < 300
    return Result(is_taken, f"answered {reply.status}", is_final=reply.status == webhooks.GONE)


def _mail(addresses: list[str], delivery: Delivery) -> Result:
    if not settings.WEIR_HAS_MAIL:
        return Result(False, "no mail server is set: WEIR_EMAIL_URL")
    data: dict[str, Any] = delivery.body["data"]
    # A line break in a subject would be another header.
    subject = " ".join(f"[Weir] {'Over: ' if delivery.event == 'alert.resolved' else ''}{data['title']}".split())
    context = {"body": delivery.body, "data": data, "event": delivery.event}
    message = EmailMultiAlternatives(
        subject, render_to_string("alerts/notice.txt", context), to=addresses, headers={"X-Weir-Id": str(delivery.pk)}
    )
    message.attach_alternative(render_to_string("alerts/notice.html", context), "text/html")
    try:
        message.send()
    except (OSError, smtplib.SMTPException) as error:
        return Result(False, f"the mail server did not take it: {type(error).__name__}")
    return Result(True, f"taken by the mail server for {len(addresses)} recipients")


def _slack_text(body: Mapping[str, Any]) -> str:
    data = body["data"]
    over = "Over: " if body["type"] == "alert.resolved" else ""
    return f"*{_slack(over + data['title'])}*\n{_slack(data['text'])}"


def _slack(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
