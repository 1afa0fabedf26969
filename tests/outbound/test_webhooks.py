"""Signatures that libraries of Standard Webhooks take."""

from __future__ import annotations

import datetime

import pytest

from apps.outbound import webhooks

# The example of the specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NAME, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
MARK = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(*secrets):
    now = datetime.datetime.fromtimestamp(AT, datetime.UTC)
    return webhooks.signed(NAME, BODY, keys=[webhooks.key_of(secret) for secret in secrets], now=now)


def test_the_specification_s_own_example():
    assert headers(SECRET) == {"webhook-id": NAME, "webhook-timestamp": str(AT), "webhook-signature": MARK}


def test_two_secrets_give_two_signatures_the_newest_first():
    other = webhooks.new_secret()
    both = headers(other, SECRET)["webhook-signature"].split(" ")
    assert both == [headers(other)["webhook-signature"], MARK]


@pytest.mark.parametrize(
    "secret", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ", "whsec_?", "whsec_" + "A" * 92]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret):
    with pytest.raises(ValueError, match="24 to 64 bytes") as refused:
        webhooks.key_of(secret)
    assert refused.value.args == ("It is whsec_ and the base64 of 24 to 64 bytes.",)
