"""What the admin does beside keys and routing: sign-in, alerts, increases, programs, chores, the configuration."""

from __future__ import annotations

import datetime

import pytest
from celery import current_app
from django.utils import timezone

from apps.accounts.models import Identity
from apps.audit.models import Record
from apps.catalog import vault
from apps.keys.models import Grant
from apps.quotas import selfservice
from apps.quotas.models import Increase
from apps.signin.models import IdentityProvider, SecondFactor
from apps.tenants.models import Project
from tests import factories
from tests.api import caller
from tests.api.caller import errors

pytestmark = pytest.mark.once


def test_an_identity_provider_with_its_groups_and_a_secret_that_never_comes_out(world):
    path = f"/identity-providers/{world.ids['identity-providers']}"
    rules = [{"group": "g", "is_staff": True}, {"group": "g", "tenant": world.acme.pk, "role": "admin"}]
    told = world.operator.patch(path, {"rules": rules, "secret": "s3cret-of-client"}).json()
    assert [(rule["group"], rule["tenant"], rule["role"]) for rule in told["rules"]] == [
        ("g", None, ""),
        ("g", world.acme.pk, "admin"),
    ]
    assert told["has_secret"] is True
    provider = IdentityProvider.objects.get(pk=told["id"])
    assert vault.open_one(provider.client_secret, place=provider.place) == "s3cret-of-client"
    assert "s3cret" not in str(told) + str(list(Record.objects.values_list("after", flat=True)))
    assert errors(world.operator.patch(path, {"tenant": world.acme.pk}))["tenant"]  # one of them makes staff
    assert errors(world.operator.patch(path, {"rules": [rules[0], rules[0]]}))["rules"]
    narrowed = world.operator.patch(path, {"tenant": world.acme.pk, "rules": [rules[1]]}).json()
    assert (narrowed["tenant"], len(narrowed["rules"])) == (world.acme.pk, 1)
    assert world.operator.patch(path, {"client_id": "another"}).json()["has_secret"] is False


def test_staff_never_say_what_a_group_means(world):
    clerk = caller.of(factories.staff("signin.view_identityprovider", "signin.view_secondfactor"))
    assert clerk.get("/identity-providers")["items"]
    path = f"/identity-providers/{world.ids['identity-providers']}"
    assert clerk("PATCH", path, {"rules": []}, if_match="*").status_code == 403
    assert clerk("DELETE", f"/second-factors/{world.ids['second-factors']}", if_match="*").status_code == 403


def test_a_second_factor_and_an_identity_are_taken_away(world):
    factor = SecondFactor.objects.get(pk=world.ids["second-factors"])
    assert world.operator.delete(f"/second-factors/{factor.pk}").status_code == 204
    assert Record.objects.filter(action="second_factor.removed", target_id=str(factor.user_id)).exists()
    assert world.operator.delete(f"/identities/{world.ids['identities']}").status_code == 204
    assert not Identity.objects.filter(pk=world.ids["identities"]).exists()


def test_members_make_their_own_alerts_and_name_nobody_else_s(world):
    place = world.viewer.post(
        "/alert-destinations",
        {"tenant": world.acme.pk, "name": "hook", "kind": "webhook", "target": "https://example.com/x"},
    ).json()
    assert place["secret"].startswith("whsec_")
    path = f"/alert-destinations/{place['id']}"
    assert "secret" not in world.viewer.get(path)
    assert world.viewer.post(f"{path}/rotate").json()["secret"] not in (None, place["secret"])
    rule = {"tenant": world.acme.pk, "name": "r", "kind": "budget"}
    made = world.viewer.post("/alert-rules", {**rule, "destinations": [place["id"]], "settings": {"percents": [90]}})
    assert made.json()["settings"] == {"percents": [90], "forecast": True}
    assert errors(world.viewer.post("/alert-rules", {**rule, "settings": {"percents": [0]}}))["settings"]
    assert errors(world.viewer.post("/alert-rules", {**rule, "kind": "provider"}))["kind"]  # operators'
    theirs = {"tenant": world.globex.pk, "name": "r", "kind": "budget", "destinations": [place["id"]]}
    assert "There is no such destination." in str(errors(world.stranger.post("/alert-rules", theirs)))
    for body in ({"name": "r", "kind": "budget"}, {**rule, "tenant": world.globex.pk}):
        assert world.viewer.post("/alert-rules", body).status_code in (403, 422)
    (alert,) = world.viewer.get("/alerts")["items"]
    assert (alert["rule"], alert["told"][0]["destination"]) == (
        world.ids["alert-rules"],
        world.ids["alert-destinations"],
    )


def test_a_test_is_sent_at_once(world):
    target = {"tenant": world.acme.pk, "name": "mail", "kind": "email", "target": "a@example.org"}
    path = f"/alert-destinations/{world.admin.post('/alert-destinations', target).json()['id']}"
    told = world.admin.post(f"{path}/test").json()
    assert (told["state"], "mail server" in told["outcome"]) == ("given_up", True)


def test_more_is_asked_decided_and_ended(world):
    website = factories.project(world.acme)
    budget = selfservice.set_budget(website, actor=world.people["admin"], amount=10**9, period="month")
    until = (timezone.now() + datetime.timedelta(days=3)).isoformat()
    body = {"budget": budget.pk, "amount_nano_usd": 5, "reason": "a demonstration", "until": until}
    assert "budget" in errors(world.stranger.post("/increases", body))
    past = {**body, "until": "2020-01-01T00:00:00Z"}
    assert "until" in errors(world.viewer.post("/increases", past))
    made = world.viewer.post("/increases", body).json()
    path = f"/increases/{made['id']}"
    assert (made["state"], made["requested_by"]) == ("requested", world.people["viewer"].pk)
    assert world.viewer.post(f"{path}/approve").status_code == 403
    assert errors(world.admin.post(f"{path}/approve", {"notes": "x"}))["notes"]
    told = world.admin.post(f"{path}/approve", {"note": "go on"}).json()
    assert (told["state"], told["note"], told["decided_by"]) == ("approved", "go on", world.people["admin"].pk)
    assert world.viewer.post(f"{path}/end").status_code == 403  # it was approved
    assert world.admin.post(f"{path}/end").json()["state"] == "withdrawn"
    assert "decided" in errors(world.admin.post(f"{path}/decline"))[""][0]
    assert Increase.objects.get(pk=made["id"]).state == "withdrawn"


def test_a_token_that_is_confined_elsewhere_decides_nothing(world):
    """An operator's too: it is a member's there."""
    confined = caller.of(world.people["operator"], tenant=world.globex)
    for place in ("increases", "programs", "alerts", "alert-rules", "budget-periods"):
        assert confined("GET", f"/{place}/{world.ids[place]}").status_code == 404
    assert confined("GET", "/config").status_code == 403


def test_a_program_is_ended_by_its_person(world):
    assert world.developer.post(f"/programs/{world.ids['programs']}/end").json()["ended_why"] == "ended by its person"
    assert Grant.objects.get(pk=world.ids["programs"]).ended_at is not None


def test_managed_settings_are_any_json_but_half_characters(world):
    path = f"/managed-settings/{world.ids['managed-settings']}"
    told = world.operator.patch(path, {"settings": {"permissions": {"deny": ["WebFetch"]}, "env": {}}}).json()
    assert told["settings"]["permissions"] == {"deny": ["WebFetch"]}
    for wrong in ({"a": "\ud800"}, {"a": "\x00"}, {"\x00": 1}, [], "x", None):
        assert errors(world.operator.patch(path, {"settings": wrong}))["settings"]


def test_what_policies_would_do_is_told_and_written_nowhere(world):
    before = Record.objects.count()
    told = world.operator.post("/policy-trial", {"text": "card 4111 1111 1111 1111", "key": world.ids["keys"]}).json()
    assert [(row["count"], row["action"]) for row in told["found"]] == [(1, "block")]
    assert "4111" not in told["masked"]
    assert Record.objects.count() == before
    clerk = caller.of(factories.staff("policies.view_datapolicy"))
    assert "There is no such key." in str(errors(clerk.post("/policy-trial", {"text": "x", "key": world.ids["keys"]})))


def test_what_a_price_and_a_budget_would_do(world):
    price = {"deployment": world.ids["deployments"], "input_nano_usd": 10**9, "output_nano_usd": 10**9}
    told = world.operator.post("/what-if/price", price).json()
    assert (told["calls"], told["booked_nano_usd"]) == (1, 105_000)
    told = world.operator.post("/what-if/budget", {"budget": world.ids["budgets"], "amount_nano_usd": 1}).json()
    assert (told["is_spent"], told["spent_nano_usd"]) == (True, 42_000_210_000)
    (period,) = world.owner.get(f"/budget-periods?budget={world.ids['budgets']}")["items"]
    assert period["spent_nano_usd"] == 42_000_210_000


def test_charges_are_columns_of_focus_and_reading_them_is_written_down(world):
    day = timezone.now().astimezone(datetime.UTC).date()
    told = world.viewer.get(f"/usage/charges?tenant={world.acme.pk}&day={day}")
    assert all("BilledCost" in row for row in told["items"])
    assert Record.objects.latest("pk").action == "charges.exported"
    assert "day" in world.viewer("GET", f"/usage/charges?tenant={world.acme.pk}").json()["errors"]


def test_a_chore_s_schedule(world, monkeypatch):
    body = {"name": "nightly", "task": "apps.usage.tasks.roll_up", "crontab": "5 4 * * *", "timezone": "Europe/Berlin"}
    made = world.operator.post("/schedules", body).json()
    assert made.items() >= body.items()
    path = f"/schedules/{made['id']}"
    told = world.operator.patch(path, {"every": 7, "period": "hours"}).json()
    assert (told["every"], told["period"], told["crontab"], told["timezone"]) == (7, "hours", None, None)
    for wrong in ({"every": 3, "period": None}, {"crontab": "5 4"}, {"crontab": "99 4 * * *"}, {"task": "rm"}):
        assert set(errors(world.operator.patch(path, wrong))) <= {"every", "period", "crontab", "task"}
    assert errors(world.operator.patch(path, {"every": 1, "crontab": "5 4 * * *"}))
    sent = []
    monkeypatch.setattr(current_app, "send_task", sent.append)
    assert world.operator.post(f"{path}/run").status_code == 200
    assert sent == [body["task"]]
    assert world.operator.delete(path).status_code == 204
    assert Record.objects.filter(action__startswith="periodictask.", target_label__startswith="nightly").count() == 4


def test_the_whole_configuration_is_read_and_brought_in(world, monkeypatch):
    monkeypatch.setenv("A_SECRET", "sk-something-of-the-machine's")
    text = world.operator.get("/config")["document"]
    assert world.operator.post("/config/bring-in", {"document": text}).json()["changes"] == []
    slug = Project.objects.get(pk=world.ids["projects"]).slug
    new = (
        f"weir: 1\ntenants:\n  - slug: {world.acme.slug}\n    projects:\n      - slug: {slug}\n        name: Renamed\n"
    )
    told = world.operator.post("/config/bring-in", {"document": new, "dry_run": True}).json()
    assert [(one["mark"], one["differences"][0]["new"]) for one in told["changes"]] == [("~", "Renamed")]
    assert Project.objects.get(pk=world.ids["projects"]).name != "Renamed"
    world.operator.post("/config/bring-in", {"document": new})
    assert Project.objects.get(pk=world.ids["projects"]).name == "Renamed"
    refused = errors(world.operator.post("/config/bring-in", {"document": "weir: 1\nnonsense: []\n"}))["document"]
    assert refused[0].startswith("line 2:")
    secret = "weir: 1\nproviders:\n  - name: Acme provider\n    credentials: [{alias: new, secret: env:A_SECRET}]\n"
    assert "where Weir runs" in errors(world.operator.post("/config/bring-in", {"document": secret}))["document"][0]
