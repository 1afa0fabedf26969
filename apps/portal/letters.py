"""Invitations as they are sent. One that cannot be sent is no error: its link is shown to whoever invites, too."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

log = structlog.get_logger(__name__)


def link_of(request: HttpRequest, token: str) -> str:
    return request.build_absolute_uri(reverse("portal:invitation", kwargs={"token": token}))


def send(invitation: Any, *, link: str) -> bool:
    """Whether a mail server has taken it."""
    text = render_to_string("portal/invitation.txt", {"invitation": invitation, "link": link})
    # A name with a line break in it would be another header: Django refuses that.
    subject = " ".join(f"Invitation to {invitation.tenant}".split())
    try:
        return EmailMessage(subject, text, to=[invitation.email]).send() > 0
    except Exception as error:
        log.warning("invitation.not_sent", invitation=invitation.pk, error=type(error).__name__)
        return False
