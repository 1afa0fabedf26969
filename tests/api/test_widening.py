"""Whatever a developer or a viewer calls, sends or signs in, in whatever order: they never have more than before."""

from __future__ import annotations

import datetime
import random
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from apps.access import selectors
from apps.access import services as access
from apps.access.models import Token
from apps.accounts.models import Identity, User
from apps.alerts.models import AlertRule, Destination
from apps.api import rates
from apps.api.urls import VIEWS
from apps.catalog.models import Model
from apps.keys.models import Grant, Key
from apps.portal.programs import DEVICE_CODE
from apps.quotas.models import Budget, Increase
from apps.tenants import services as tenants
from apps.tenants.models import Invitation, Membership, Project
from apps.usage.models import Entry
from tests.api import rights
from tests.api.caller import Caller
from tests.api.greed import CALLS, GOOD, KEY, SMUGGLED, TOKEN, cast, check, greedy, named
from tests.api.test_described_input import Operation, operations
from tests.control.desk import _handler, fields
from tests.portal.test_who_may import pages

pytestmark = [pytest.mark.once, pytest.mark.attack("F28")]

OPERATIONS = operations()
SELF_SERVICE = [each for each in OPERATIONS if each.path[1:].partition("/")[0] in GOOD and each.method != "GET"]
PAGES = sorted((*pages(), "account_password", "account_second_factor", "device", "account_disconnect"))
ROWS = {
    **{"key": Key, "budget": Budget, "increase": Increase, "rule": AlertRule, "destination": Destination},
    **{"model": Model, "member": Membership, "invitation": Invitation, "project": Project, "program": Grant},
    **{"entry": Entry, "identity": Identity},
}
SEED = 20_261_123
counted: Counter[str] = Counter()


class Stage:
    """Dora, a developer, and Vera, a viewer, with tokens of theirs that are more or less confined; what there is, and
    what they may."""

    def __init__(self, world: Any) -> None:
        rates.forget()
        self.world = world
        self.ids = cast(world)
        self.people = [world.people["developer"], world.people["viewer"]]
        later = timezone.now() + datetime.timedelta(days=2)
        self.tokens = [
            access.issue(who, **{"name": "a program", "scope": "write", **how}).plaintext
            for who, ways in zip(self.people, ([{}, {"tenant": world.acme}, {"expires_at": later}], [{}]), strict=True)
            for how in (*ways, {"scope": "read"})
        ]
        self.rows = rights.picture()
        self.persons = [rights.of_person(who) for who in self.people]


class Sequences(RuleBasedStateMachine):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.point = transaction.savepoint()
        self.ids, self.people, self.tokens = stage.ids, stage.people, list(stage.tokens)
        self.admin, self.rows, self.persons = stage.world.people["admin"], stage.rows, list(stage.persons)
        self.member = stage.rows["tenants.Membership"][self.ids["MINE"]]
        self.found: list[str] = []
        self.is_looked_at = False

    @property
    def numbers(self) -> list[int]:
        return [who.pk for who in self.people]

    def told(self, who: Any, answer: Any, asked: Any) -> None:
        counted["calls"] += 1
        counted["done"] += answer.status_code < 400
        self.is_looked_at &= answer.status_code >= 400
        assert answer.status_code < 500, (asked, answer.content)
        if not answer.streaming:
            self.found += rights.check_told(answer.content.decode(), who=who, tenant=self.ids["TENANT"])

    def ask(self, secret: str, method: str, path: str, body: Any) -> None:
        """By the management API, with any token that they have come by."""
        rates.forget()
        token = selectors.working(secret)
        answer = Caller(secret)(method, path, body, if_match="*")
        if token is None:
            assert answer.status_code == 401
            return
        assert token.scope == "write" or method == "GET" or answer.status_code >= 400
        self.told(token.user, answer, (method, path, body))
        if (method, path, answer.status_code) == ("POST", "/tokens", 201):
            made = answer.json()
            rights.check_narrower(Token.objects.get(pk=made["id"]), token)
            self.tokens.append(made["secret"])

    def any_token(self, pick: int) -> str:
        return self.tokens[pick % len(self.tokens)]

    def session(self, who: int) -> Client:
        found = Client(raise_request_exception=False)
        found.handler = _handler(found.handler.enforce_csrf_checks)
        found.force_login(User.objects.get(pk=self.numbers[who]))
        return found

    @rule(wish=KEY, pick=st.integers(0, 99))
    def issue_a_key(self, wish: Any, pick: int) -> None:
        body = {"tenant": "TENANT", "project": "PROJECT", "name": "new", **wish}
        self.ask(self.any_token(pick), "POST", "/keys", named(body, self.ids, path="/keys"))

    @rule(which=st.sampled_from(["CONFINED", "CONFINED", "OWN", "FOREIGN"]), wish=KEY, pick=st.integers(0, 99))
    def change_a_key(self, which: str, wish: Any, pick: int) -> None:
        self.ask(self.any_token(pick), "PATCH", f"/keys/{self.ids[which]}", named(wish, self.ids, path="/keys"))

    @rule(wish=TOKEN, pick=st.integers(0, 99))
    def issue_a_token(self, wish: Any, pick: int) -> None:
        self.ask(self.any_token(pick), "POST", "/tokens", named(wish, self.ids, path="/tokens"))

    @rule(call=CALLS, pick=st.integers(0, 99))
    def call_what_is_promising(self, call: Any, pick: int) -> None:
        method, path, body = call
        where = named(path, self.ids, path=path)
        self.ask(self.any_token(pick), method, where, named(body, self.ids, path=path))

    @rule(operation=st.sampled_from(SELF_SERVICE), pick=st.integers(0, 99), seed=st.integers(0, 2**32))
    def call_what_is_theirs_to_call(self, operation: Operation, pick: int, seed: int) -> None:
        self.call(operation, self.any_token(pick), random.Random(seed), share=0.1)

    def call(self, operation: Operation, secret: str, dice: random.Random, *, share: float) -> None:
        """With good values; `share` of all that the body may have is what somebody would like."""
        place = operation.path[1:].partition("/{id}")[0]
        chosen = dict(GOOD.get(place, {})) if operation.method == "POST" and "{id}" not in operation.path else {}
        for name, schema in operation.fields.items():
            if dice.random() < share:
                chosen[name] = greedy(name, schema, dice)
        if dice.random() < share:
            chosen |= dict(dice.sample(sorted(SMUGGLED.items()), 3))
        path = operation.path.replace("{id}", str(dice.choice(self.rows_at(place) or [1])))
        self.ask(secret, operation.method, path, named(chosen, self.ids, path=path) or None)

    def rows_at(self, place: str) -> list[Any]:
        """Those of their own, if there are any, as often as all others."""
        view = next((view for view in VIEWS if view.place == place), None)
        if not hasattr(view, "rows"):
            return []
        rows = view.rows()
        whose = {"keys": "user", "tokens": "user", "programs": "user", "budgets": "key__user", "limits": "key__user"}
        own = rows.filter(**{f"{whose[place]}__in": self.numbers}) if place in whose else rows.none()
        everybodys, theirs = ([*some.values_list("pk", flat=True)[:20]] for some in (rows, own))
        return everybodys + theirs * (1 + len(everybodys) // max(1, len(theirs)))

    @rule(name=st.sampled_from(PAGES), who=st.integers(0, 1), seed=st.integers(0, 2**32))
    def send_a_page_s_form(self, name: str, who: int, seed: int) -> None:
        self.send(name, who, random.Random(seed))

    def send(self, name: str, who: int, dice: random.Random) -> None:
        client, url = self.session(who), self.address(name, dice)
        opened = client.get(url)
        values = fields(opened.content.decode()) if opened.status_code == 200 and not opened.streaming else {}
        for field, value in values.items():
            if dice.random() < (0.2 if value else 0.8):
                values[field] = named(greedy(field, {"type": "string"}, dice), self.ids, path="")
        values |= {field: named(value, self.ids, path="") for field, value in dice.sample(sorted(SMUGGLED.items()), 4)}
        values = {field: value for field, value in values.items() if value is not None}
        self.told(self.people[who], client.post(url, values), (name, url, values))

    def address(self, name: str, dice: random.Random) -> str:
        needed = pages().get(name)
        if needed is None:
            return reverse(name, args=[1] if name == "account_disconnect" else [])
        given: dict[str, Any] = {"tenant": dice.choice(["acme", "acme", "globex"])}
        for argument in needed:
            rows = [*ROWS[argument]._base_manager.values_list("pk", flat=True)[:20]] if argument in ROWS else []
            given[argument] = dice.choice(
                rows or ([uuid.UUID(int=1)] if argument == "entry" else ["1" * 32, 1][argument != "call" :])
            )
        return reverse(f"portal:{name}", kwargs=given)

    @rule(who=st.integers(0, 1), project=st.sampled_from(["PROJECT", "PROJECT", "OTHER"]), again=st.booleans())
    def sign_a_program_in(self, who: int, project: str, again: bool) -> None:
        client = self.session(who)
        begun = Client().post(reverse("device_authorization")).json()
        said = {"user_code": begun["user_code"], "decision": "approve", "project": self.ids[project], **SMUGGLED}
        said = {name: value for name, value in said.items() if value is not None}
        self.told(self.people[who], client.post(reverse("device"), said), ("device", said))
        asked = {"grant_type": DEVICE_CODE, "device_code": begun["device_code"], "scope": "write admin"}
        answer = Client().post(reverse("oauth_token"), asked)
        self.told(self.people[who], answer, asked)
        if answer.status_code == 200 and again:
            refresh = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"], "scope": "admin"}
            self.told(self.people[who], Client().post(reverse("oauth_token"), refresh), refresh)

    @rule(pick=st.integers(0, 99), path=st.sampled_from(["/me", "/keys", "/tokens", "/users", "/providers"]))
    def show_what_is_no_token_of_the_api(self, pick: int, path: str) -> None:
        found = [secret for secret in self.found if not secret.startswith("weirapi_")]
        if found:
            rates.forget()
            assert Caller(found[pick % len(found)])("GET", path).status_code == 401

    @precondition(lambda self: self.is_developer)
    @rule(chance=st.sampled_from([False] * 9 + [True]))
    def an_admin_makes_a_viewer_of_the_developer(self, chance: bool) -> None:
        if not chance:
            return
        tenants.change_role(Membership.objects.get(pk=self.ids["MINE"]), actor=self.admin, role="viewer")
        members = self.rows["tenants.Membership"] | {self.ids["MINE"]: {**self.member, "role": "viewer"}}
        self.rows = {**self.rows, "tenants.Membership": members}
        self.persons[0] = rights.of_person(self.people[0])
        self.is_looked_at = False

    @property
    def is_developer(self) -> bool:
        return bool(self.rows["tenants.Membership"][self.ids["MINE"]]["role"] == "developer")

    @invariant()
    def whoever_may_call_may_no_more_than_they(self) -> None:
        if self.is_looked_at:
            return
        rights.check_callers(self.people, tenant=self.ids["TENANT"], projects=[self.ids["PROJECT"]])
        check(self.ids)
        self.is_looked_at = True

    def teardown(self) -> None:
        try:
            for who, before in zip(self.people, self.persons, strict=True):
                assert rights.grown(before, rights.of_person(who)) == []
            assert rights.differences(self.rows, rights.picture(), people=self.numbers) == []
        finally:
            transaction.savepoint_rollback(self.point)
            counted["sequences"] += 1


def test_no_route_and_no_page_gives_anybody_more_than_they_had(world, figure):
    """All that there are, each with everything that somebody would like."""
    counted.clear()
    all_of_it = Sequences(Stage(world))
    dice = random.Random(SEED)
    for operation in OPERATIONS:
        for secret in (all_of_it.tokens[0], all_of_it.tokens[4])[: 1 if operation.method == "GET" else 2]:
            all_of_it.call(operation, secret, dice, share=0.8)
    for name in PAGES:
        for who in (0, 1):
            all_of_it.send(name, who, dice)
    all_of_it.whoever_may_call_may_no_more_than_they()
    all_of_it.teardown()
    figure("F28", f"routes and pages, each with greedy values (seed {SEED})", len(OPERATIONS) + len(PAGES), least=200)


def test_no_sequence_of_calls_gives_anybody_more_than_they_had(world, figure):
    counted.clear()
    stage = Stage(world)
    run_state_machine_as_test(
        lambda: Sequences(stage),
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
        ),
    )  # fmt: skip
    figure("F28", "sequences of calls that were tried", counted["sequences"], least=25)
    figure("F28", "calls in them", counted["calls"], least=200)
    figure("F28", "of those done, not refused", counted["done"], least=50)
