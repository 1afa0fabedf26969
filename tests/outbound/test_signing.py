"""Requests to AWS are signed as its Signature Version 4 says, written here a second time, and of what is sent."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from urllib.parse import quote, urlsplit

import pytest

from apps.domain import errors
from apps.domain.providers import bedrock
from apps.domain.snapshot import Secret
from apps.outbound import asking, signing
from apps.runtime import clock

ID, KEY, TOKEN = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "FwoGZXIvYXdzEBYaDH+session/token==",
)
HOST = "bedrock-runtime.eu-central-1.amazonaws.com"
URL = f"https://{HOST}/model/us.anthropic.claude-3-7-sonnet-20250219-v1%3A0/invoke-with-response-stream"
ARN = f"https://{HOST}/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Feu.amazon.nova-lite-v1%3A0/converse"
HEADERS = [
    ("content-type", "application/json"),
    ("accept", "application/vnd.amazon.eventstream"),
    ("connection", "keep-alive"),
]
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
BODY = '{"text":"é \\n"}'.encode()


@pytest.fixture
def at(monkeypatch):
    """Noon of a day, by the clock that money is counted by."""
    monkeypatch.setattr(clock, "now", lambda: 1_440_938_160.7)
    return "20150830T123600Z"


def chain(*parts: str) -> bytes:
    key = parts[0].encode()
    for part in parts[1:]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def expected(
    url: str, sent: dict[str, str], *, names: list[str], body: bytes, region: str, key: str, stamp: str
) -> str:
    """From the specification: the path's every segment is escaped once more."""
    address = urlsplit(url)
    values = {"host": address.netloc} | sent
    canonical = "\n".join(
        [
            "POST",
            quote(address.path, safe="/-_.~"),
            address.query,
            *(f"{name}:{values[name].strip()}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/{region}/bedrock/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return chain(f"AWS4{key}", stamp[:8], region, "bedrock", "aws4_request", text).hex()


async def signed(url: str = URL, *, secret: str, options: dict[str, str] | None = None) -> dict[str, str]:
    headers = await signing.sign("POST", url, headers=list(HEADERS), body=BODY, secret=secret, options=options or {})
    assert len(dict(headers)) == len(headers)
    assert headers[: len(HEADERS)] == HEADERS
    return dict(headers)


@pytest.mark.parametrize("url", [URL, ARN, "http://127.0.0.1:8001/model/a%20b/converse?x=1"])
@pytest.mark.parametrize("token", [None, TOKEN])
async def test_the_signature_is_the_one_that_the_specification_computes(at, url, token):
    sent = await signed(url, secret=":".join(filter(None, (ID, KEY, token))), options={"region": "eu-central-1"})
    found = re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential={ID}/20150830/eu-central-1/bedrock/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        sent.pop("authorization"),
    )
    assert found is not None
    names = found.group(1).split(";")
    assert names == ["content-type", "host", "x-amz-date", *(["x-amz-security-token"] if token else [])]
    assert sent["x-amz-date"] == at
    assert sent.get("x-amz-security-token") == token
    assert found.group(2) == expected(url, sent, names=names, body=BODY, region="eu-central-1", key=KEY, stamp=at)


async def test_botocores_own_signer_agrees(at, time_machine):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    time_machine.move_to(1_440_938_160, tick=False)
    sent = await signed(secret=f"{ID}:{KEY}:{TOKEN}")
    request = AWSRequest("POST", URL, headers={"content-type": "application/json"}, data=BODY)
    SigV4Auth(Credentials(ID, KEY, TOKEN), "bedrock", "eu-central-1").add_auth(request)
    assert sent["authorization"] == request.headers["Authorization"]


async def test_every_byte_counts(at):
    first = await signed(secret=f"{ID}:{KEY}")
    again = await signing.sign("POST", URL, headers=list(HEADERS), body=BODY + b" ", secret=f"{ID}:{KEY}", options={})
    assert first["authorization"] != dict(again)["authorization"]


async def test_an_api_key_signs_nothing():
    assert await signed(secret="bedrock-api-key-YmVkcm9jaw==") == dict(HEADERS)
    assert bedrock.authorize("ABSKQmVkcm9ja0FQSUtleQ==") == (("authorization", "Bearer ABSKQmVkcm9ja0FQSUtleQ=="),)
    assert bedrock.authorize(f"{ID}:{KEY}") == bedrock.authorize("role") == ()


@pytest.mark.parametrize(
    ("url", "options", "region"),
    [
        (URL, {}, "eu-central-1"),
        (URL, {"region": "us-west-2"}, "us-west-2"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/x", {}, "us-gov-west-1"),
        ("http://127.0.0.1:8001/x", {}, "us-east-1"),
    ],
)
async def test_the_region_is_the_one_that_was_told_or_the_hosts(url, options, region):
    assert f"/{region}/bedrock/" in (await signed(url, secret=f"{ID}:{KEY}", options=options))["authorization"]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Sets which credentials botocore finds on this machine, in its environment."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(signing, "_role", signing._Role())

    def has(key: str = "") -> None:
        signing._session.cache_clear()
        for name, value in zip(VARIABLES, key.split(":") if key else ("", "", ""), strict=True):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)

    yield has
    signing._session.cache_clear()


async def test_the_machines_own_role_is_kept_for_a_while(machine, at, monkeypatch):
    first, second = f"{ID}:{KEY}:{TOKEN}", f"AKIASECOND:{KEY}:{TOKEN}"
    machine(first)
    assert await signed(secret="role") == await signed(secret=first)
    machine(second)
    assert await signed(secret="role") == await signed(secret=first)
    monkeypatch.setattr(signing, "_ROLE_KEPT", 0.0)
    monkeypatch.setattr(signing, "_role", signing._Role())
    assert await signed(secret="role") == await signed(secret=second)
    machine(first)
    assert await signed(secret="role") == await signed(secret=first)


async def test_what_the_role_signs_with_is_cut_from_what_a_provider_says(machine, monkeypatch):
    """Nobody has written it down: the secret of such a credential is the word `role`."""
    monkeypatch.setattr(signing, "_ROLE_KEPT", 0.0)
    role = asking.asked(vendor="bedrock", protocol="bedrock_converse", base_url=URL, secret="role", private_networks=())
    said = f"a role: {ID} {KEY} {TOKEN}".encode()
    assert role.cut(said) == said, "not yet known"
    machine(f"{ID}:{KEY}:{TOKEN}")
    await signed(secret="role")
    assert role.cut(said) == b"a role: [removed] [removed] [removed]"
    assert role.words(b'{"message":"%b"}' % said) == "a role: [removed] [removed] [removed]"
    machine(f"AKIASECOND:{KEY[::-1]}:{TOKEN[::-1]}")
    await signed(secret="role")
    assert role.cut(b"%b %b" % (KEY.encode(), KEY[::-1].encode())) == b"[removed] [removed]", "the one before, too"
    machine("AKIATHIRD:a-third-secret:a-third-token")
    await signed(secret="role")
    assert len(signing._role.lately) == 2


async def test_a_machine_without_a_role_is_our_fault_and_reaches_nobody(machine):
    machine()
    with pytest.raises(errors.UpstreamAuth, match="this machine has no AWS credentials") as raised:
        await signed(secret="role")
    assert raised.value.retryable
    assert not raised.value.reached


async def test_that_there_is_no_role_is_found_out_once_for_all_calls_of_a_moment(machine, monkeypatch, tmp_path):
    asked, config = tmp_path / "asked", tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {tmp_path / 'find'}\n")
    (tmp_path / "find").write_text(f"#!/bin/sh\necho once >> {asked}\nexit 1\n")
    (tmp_path / "find").chmod(0o700)
    machine()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    found = await asyncio.gather(*(signed(secret="role") for _ in range(8)), return_exceptions=True)
    assert {type(one) for one in found} == {errors.UpstreamAuth}
    assert asked.read_text().count("once") == 1


def test_every_part_of_an_access_key_is_cut_from_what_is_said():
    secret = Secret(f"{ID}:{KEY}:{TOKEN}", host="h")
    escaped = KEY.replace("/", "\\/")
    told = secret.cut_from(f"{ID} {KEY} {TOKEN} {escaped} {ID}:{KEY}:{TOKEN} region:eu".encode()).decode()
    assert told == "[removed] [removed] [removed] [removed] [removed] region:eu"
