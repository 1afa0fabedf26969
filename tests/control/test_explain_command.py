"""`manage.py explain`, from outside the gateway: what is written down, and nothing pretended."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from apps.catalog.models import Model
from apps.domain.routing.facts import UNMEASURED, Measured
from apps.domain.snapshot import Deployment, Provider
from apps.gateway import vantage
from apps.keys import services as keys
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.runtime.state import DeploymentStanding
from apps.usage.models import Entry
from tests import factories

pytestmark = pytest.mark.django_db
NOBODYS = Provider(id=1, name="near", vendor="anthropic", protocol="anthropic_messages", base_url="", host="")


@pytest.fixture
def served(website, settings) -> str:
    """Its key. Nobody tells of the gateways of other tests."""
    settings.REDIS_URL = ""
    provider = factories.provider("near", tags=["eu"])
    factories.credential(provider, alias="ours")
    factories.price(factories.deployment(factories.model("m"), provider))
    factories.deployment(factories.model("nobody-serves"), factories.provider("far"))
    return factories.key(website).key.public_id


def run(*arguments: str) -> tuple[int, str]:
    """How it ends, and what it says."""
    said = io.StringIO()
    try:
        call_command("explain", *arguments, stdout=said)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def test_it_says_who_would_serve_a_call_without_opening_a_secret(served, acme, settings):
    quotas.create_budget(actor=None, tenant=acme, amount=10**9, period="month")
    settings.WEIR_KEYRING = "1:another-value-altogether"
    ended, said = run("--model", "m", "--key", f"weir_{served[:8]}", "--json")
    told = json.loads(said)
    assert (ended, told["serves"]) == (0, True)
    assert (told["who"]["tenant_id"], told["who"]["key"]) == (acme.pk, served)
    assert [(one["provider"], one["state"], one["credentials"]) for one in told["deployments"]] == [
        ("near", "first", ["ours"])
    ]
    assert told["budgets"][0]["covers"]
    assert not told["live"]
    assert told["notes"] == [vantage.NOT_LIVE]
    assert not Entry.objects.exists()


def test_what_gateways_tell_each_other_is_heeded():
    deployment = Deployment(id=7, provider=NOBODYS, upstream_model="m")
    told = DeploymentStanding(7, "near", "m", "open", 1_041.0, "50 % failed", 0.5, 80.0, 0.25, 20.0)
    heard = vantage.Heard({7: told}, now=1_000.0)
    assert heard.open_for(deployment) == 41.0
    assert heard.measured(deployment) == Measured(0.5, 80.0, 0.25)
    assert vantage.Heard({7: told}, now=1_041.0).open_for(deployment) == 0.0
    assert vantage.Heard({}, now=1_000.0).measured(deployment) == UNMEASURED


@pytest.mark.parametrize("form", ["{}", "weir_{}", "weir_{}…", "weir_{}..."])
def test_a_key_is_named_by_what_the_admin_shows_of_it(served, form):
    ended, said = run("--model", "m", "--json", "--key", form.format(served))
    assert (ended, json.loads(said)["who"]["key"]) == (0, served)


def test_a_key_may_be_named_by_its_name_and_two_of_one_name_are_too_many(served, website):
    named = factories.key(website, name="night shift").key.public_id
    assert json.loads(run("--model", "m", "--json", "--key", "night shift")[1])["who"]["key"] == named
    factories.key(website, name="night shift")
    with pytest.raises(CommandError, match="means several keys: give more of its beginning"):
        run("--model", "m", "--key", "night shift")


def test_the_former_beginning_of_a_rotated_key_is_its_own(served, website):
    key = Key.objects.get(public_id=served)
    keys.rotate(key, actor=None)
    key.refresh_from_db()
    assert key.public_id != served
    assert json.loads(run("--model", "m", "--json", "--key", served)[1])["who"]["key"] == key.public_id


def test_what_is_not_seen_from_here_is_said(served, acme):
    quotas.create_limit(actor=None, tenant=acme, requests_per_minute=5)
    Model.objects.filter(name="m").update(networks=["203.0.113.0/24"])
    told = json.loads(run("--model", "m", "--key", served, "--json")[1])
    assert told["notes"] == [vantage.NOT_LIVE, vantage.UNCOUNTED, vantage.UNPLACED]
    told = json.loads(run("--model", "m", "--key", served, "--json", "--address", "203.0.113.7")[1])
    assert (told["serves"], told["notes"]) == (True, [vantage.NOT_LIVE, vantage.UNCOUNTED])
    ended, said = run("--model", "m", "--address", "192.0.2.1")
    assert (ended, "REFUSED 403: the model m may not be used from this address" in said) == (1, True)


def test_it_ends_with_1_where_nobody_can(served):
    ended, said = run("--model", "nobody-serves")
    assert ended == 1
    assert "no deployment can serve nobody-serves right now" in said
    assert "far: no credential" in said


def test_a_request_from_a_file_is_read_as_its_endpoint_reads_it(served, tmp_path):
    request = tmp_path / "request.json"
    request.write_text('{"model": "m", "messages": "none"}')
    ended, said = run("--file", str(request), "--endpoint", "chat_completions")
    assert ended == 1
    assert "REFUSED 400" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name a --model"),
        (["--file", "/no/such"], "No such file"),
        (["--model", "m", "--key", "weir_!!…"], "“weir_!!…” is no key's beginning or name"),
        (["--model", "m", "--key", "weir_"], "is no key's beginning or name"),
        (["--model", "m", "--address", "somewhere"], "“somewhere” is no IP address"),
    ],
)
def test_what_makes_no_sense_is_said_so(served, arguments, told):
    with pytest.raises(CommandError, match=told) as refused:
        run(*arguments)
    assert refused.value.returncode == 2
