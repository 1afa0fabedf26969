"""What a signed-in program gets of the data plane: calls as its person, settings to keep to, an ear for telemetry."""

from __future__ import annotations

import hashlib
import json

import pytest

from apps.accounts import services as accounts
from apps.keys import grants
from apps.keys.models import Grant
from apps.policies import services as policies
from apps.tenants import services as tenants
from apps.tenants.models import Membership
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, anthropic_error, ask
from tests.gateway.tokens import call, issuer, refused, trusted
from tests.issuers import signed
from tests.servers import until

__all__ = ["issuer", "trusted"]
MANAGED = "/managed/settings"
SETTINGS = {"permissions": {"deny": ["WebFetch"], "ü": 1.0}, "env": {"A": "b"}, "n": [1.5, None, True]}


class Program:
    def __init__(self, world) -> None:
        self.person = accounts.create_user(actor=None, username="bob")
        self.member = tenants.add_member(world.tenant, actor=None, user=self.person)
        begun = grants.begin(client="claude-cli/2", address="127.0.0.1")
        waiting = grants.awaited(begun.user_code)
        assert waiting is not None
        self.grant: Grant = grants.approve(waiting, actor=self.person, project=world.project)
        self.tokens = grants.exchange(begun.device_code)
        self.access = self.tokens.access


@pytest.fixture
def program(world) -> Program:
    return Program(world)


def settled(gateway, token: str, **headers: str):
    return gateway.client.get(MANAGED, headers={"authorization": f"Bearer {token}", **headers})


def test_a_program_calls_as_its_person(gateway, world, program):
    gateway.refresh()
    before = gateway.engine.configuration.tokens.loads
    for _ in range(2):
        assert call(gateway, program.access).status_code == 200
    assert gateway.engine.configuration.tokens.loads == before + 1
    gateway.settle()
    row = Entry.objects.first()
    assert (row.user_id, row.key_id, row.project_id) == (program.person.pk, None, world.project.pk)
    refused(gateway, program.tokens.refresh)
    refused(gateway, program.access[:-1] + ("y" if program.access.endswith("x") else "x"))


@pytest.mark.parametrize("way", ["ended", "stolen", "left", "viewer", "deactivated"])
def test_its_calls_end_with_its_grant(gateway, world, program, way):
    gateway.refresh()
    assert call(gateway, program.access).status_code == 200
    if way == "ended":
        grants.end(program.grant, actor=program.person, why="ended")
    elif way == "stolen":
        grants.refresh(program.tokens.refresh)
        program.grant.tokens.filter(kind="refresh").update(used_at=program.grant.created_at - grants.TOGETHER * 2)
        with pytest.raises(grants.NotGranted):
            grants.refresh(program.tokens.refresh)
    elif way == "left":
        tenants.remove_member(program.member, actor=None)
    elif way == "viewer":
        tenants.change_role(program.member, actor=None, role="viewer")
    else:
        accounts.deactivate(program.person, actor=None)
    until(lambda: call(gateway, program.access).status_code == 401)
    refused(gateway, program.access)


def test_budgets_of_its_person_hold(gateway, world, program):
    world.budget(user=program.person, amount=1)
    gateway.refresh()
    assert call(gateway, program.access).status_code == 429


def test_no_managed_settings_is_404_and_empty_ones_are_not(gateway, world, program):
    gateway.refresh()
    anthropic_error(settled(gateway, program.access), 404, "not_found_error")
    row = policies.settle(actor=None, name="All", settings={})
    told = settled(gateway, program.access)
    assert told.status_code == 200
    assert told.json()["settings"] == {}
    policies.resettle(row, actor=None, is_enabled=False)
    assert settled(gateway, program.access).status_code == 404
    anthropic_error(settled(gateway, "weirat_nonsense"), 401, "authentication_error")


def test_settings_are_told_with_the_checksum_that_the_client_makes(gateway, program):
    policies.settle(actor=None, name="All", settings=SETTINGS)
    gateway.refresh()
    told = settled(gateway, program.access)
    body = told.json()
    # As JSON.stringify writes them, their names in order.
    written = '{"env":{"A":"b"},"n":[1.5,null,true],"permissions":{"deny":["WebFetch"],"ü":1}}'
    assert body["checksum"] == f"sha256:{hashlib.sha256(written.encode()).hexdigest()}"
    assert (body["settings"], set(body)) == (SETTINGS, {"uuid", "checksum", "settings"})
    assert told.headers["etag"] == f'"{body["checksum"]}"'
    again = settled(gateway, program.access, **{"if-none-match": f'"{body["checksum"]}"'})
    assert (again.status_code, again.content) == (304, b"")
    other = settled(gateway, program.access, **{"if-none-match": '"sha256:0"'})
    assert other.json() == body


def test_one_of_those_that_fit_holds(gateway, world, program):
    other = tenants.create_tenant(actor=None, name="Umbrella")
    boats = tenants.create_project(world.tenant, actor=None, name="Boats")

    def of(name: str, **scope) -> None:
        policies.settle(actor=None, name=name, settings={"is": name}, **scope)

    gateway.refresh()
    expected = None
    for name, scope, fits in (
        ("everyone", {}, True),
        ("theirs", {"tenant": other, "priority": 9}, False),
        ("tenant", {"tenant": world.tenant}, True),
        ("boats", {"tenant": world.tenant, "project": boats, "priority": 9}, False),
        ("owners", {"role": "owner", "priority": 9}, False),
        ("developers", {"role": "developer"}, True),
        ("project", {"project": world.project}, True),
        ("first", {"priority": 1}, True),
    ):
        of(name, **scope)
        expected = name if fits else expected
        assert settled(gateway, program.access).json()["settings"] == {"is": expected}, name
    Membership.objects.filter(pk=program.member.pk).update(role="owner")
    assert settled(gateway, program.access).json()["settings"] == {"is": "owners"}


def test_keys_and_tokens_of_issuers_are_told_too(gateway, world, issuer, trusted):
    policies.settle(actor=None, name="Owners", role="owner", settings={"is": "owner"})
    policies.settle(actor=None, name="All", settings={"is": "any"})
    gateway.refresh()
    assert gateway.client.get(MANAGED, headers={"x-api-key": world.key}).json()["settings"] == {"is": "owner"}
    assert settled(gateway, signed(issuer.claims())).json()["settings"] == {"is": "any"}


@pytest.mark.parametrize("signal", ["metrics", "logs", "traces"])
@pytest.mark.parametrize(("kind", "answer"), [("application/json", b"{}"), ("application/x-protobuf", b"")])
def test_telemetry_is_taken_and_counted(gateway, program, signal, kind, answer):
    gateway.refresh()
    headers = {"authorization": f"Bearer {program.access}", "content-type": kind}
    told = gateway.client.post(f"/v1/{signal}", content=b"x" * 1000, headers=headers)
    assert (told.status_code, told.content) == (200, answer)
    assert gateway.client.post(f"/v1/{signal}", content=b"x").status_code == 401
    assert gateway.client.get(f"/v1/{signal}", headers=headers).status_code == 405
    gateway.settle()
    assert not Entry.objects.exists()


def test_too_much_telemetry_at_once_is_refused(gateway, program, monkeypatch):
    monkeypatch.setattr("apps.gateway.endpoints.MOST_TELEMETRY", 1000)
    gateway.refresh()
    told = gateway.client.post("/v1/logs", content=b"x" * 1001, headers={"authorization": f"Bearer {program.access}"})
    assert told.status_code == 413


def test_the_probes_keep_their_paths(gateway, world):
    """`/metrics` is the operator's, whatever there is under /v1."""
    assert gateway.client.get("/metrics").status_code in (401, 403)
    assert ask(gateway, ANTHROPIC).status_code == 200
    wrong = gateway.client.post("/nowhere/traces", content=b"", headers={"x-api-key": world.key})
    assert wrong.status_code == 404
    assert json.loads(wrong.content)
