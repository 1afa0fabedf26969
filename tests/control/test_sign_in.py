"""What the log tells of sign-ins that fail."""

from __future__ import annotations

import logging

import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def test_a_failed_sign_in_is_logged_with_name_and_address_but_not_the_password(caplog):
    with caplog.at_level(logging.INFO):
        Client(REMOTE_ADDR="192.0.2.7").post(
            reverse("admin:login"), {"username": "mallory", "password": "quagga-quagga-quagga"}
        )
    told = [record.getMessage() for record in caplog.records if record.name.startswith("axes")]
    assert any("mallory" in line and "192.0.2.7" in line for line in told), told
    assert "quagga" not in caplog.text
