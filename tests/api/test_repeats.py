"""A POST that is sent again under its key is answered again and done once."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.access import repeats
from apps.access.models import Answer
from apps.access.tasks import forget_answers
from apps.api import repeating
from apps.keys.models import Key
from apps.tenants.models import Project
from tests.api import caller

DAY = datetime.timedelta(days=1)


def named(world, name):
    return {"tenant": world.acme.pk, "name": name}


def test_the_same_again_is_answered_again_and_done_once(world):
    first = world.owner.post("/projects", named(world, "Once"), idempotency_key="k1")
    again = world.owner.post("/projects", named(world, "Once"), idempotency_key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (again["ETag"], again["Location"]) == (first["ETag"], first["Location"])
    assert (again[repeating.REPLAYED], first.get(repeating.REPLAYED)) == ("true", None)
    assert Project.objects.filter(name="Once").count() == 1


def test_a_secret_is_told_once_and_lies_nowhere(world):
    body = {"tenant": world.acme.pk, "project": world.ids["projects"], "name": "once"}
    first = world.owner.post("/keys", body, idempotency_key="k2")
    again = world.owner.post("/keys", body, idempotency_key="k2")
    assert first.json()["secret"].startswith("weir_")
    assert again.json() == {**first.json(), "secret": None}
    assert Key.objects.filter(name="once").count() == 1
    assert first.json()["secret"] not in str(list(Answer.objects.values()))


def test_a_credential_s_secret_cannot_be_guessed_from_what_is_kept(world):
    body = {"provider": world.ids["providers"], "alias": "kept", "secret": "sk-ant-kept-0123456789"}
    assert world.operator.post("/credentials", body, idempotency_key="k3").status_code == 201
    row = Answer.objects.get(key="k3")
    assert body["secret"] not in str(row.body)
    assert len(row.digest) == 64


@pytest.mark.parametrize("change", ["body", "path", "token"])
def test_another_request_under_the_key_is_refused(world, change):
    world.owner.post("/projects", named(world, "One"), idempotency_key="k4")
    program = caller.of(world.people["owner"]) if change == "token" else world.owner
    path = "/projects?" if change == "path" else "/projects"
    body = named(world, "Two" if change == "body" else "One")
    answer = program("POST", "/tokens" if change == "path" else path, body, idempotency_key="k4")
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
    assert not Project.objects.filter(name="Two").exists()


def test_keys_are_each_person_s_own(world):
    assert world.owner.post("/projects", named(world, "Ours"), idempotency_key="k5").status_code == 201
    other = world.admin.post("/projects", named(world, "Theirs"), idempotency_key="k5")
    assert (other.status_code, other.json()["name"]) == (201, "Theirs")


def test_what_was_refused_did_nothing_and_can_be_mended(world):
    assert world.owner.post("/projects", {"name": "No tenant"}, idempotency_key="k6").status_code == 422
    assert world.owner.post("/projects", named(world, "Mended"), idempotency_key="k6").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "\x7f"])
def test_a_key_that_is_none(world, key):
    answer = world.owner("POST", "/projects", named(world, "x"), idempotency_key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_claim_that_was_left_is_taken_over_and_its_holder_undone(world):
    person = world.people["owner"].pk
    left = repeats.begin(person, key="k7", digest="d")
    with pytest.raises(repeats.UnderWay):
        repeats.begin(person, key="k7", digest="d")
    Answer.objects.filter(pk=left.pk).update(began_at=timezone.now() - repeats.ABANDONED - DAY / 1000)
    taken = repeats.begin(person, key="k7", digest="d")
    with pytest.raises(repeats.UnderWay):
        repeats.finish(left, status=201, headers={}, body={})
    repeats.finish(taken, status=201, headers={}, body={})
    repeats.give_up(taken)  # it is finished: this is too late
    assert isinstance(repeats.begin(person, key="k7", digest="d"), repeats.Given)


def test_answers_are_kept_for_a_day(world):
    world.owner.post("/projects", named(world, "Old"), idempotency_key="k8")
    world.owner.post("/projects", named(world, "Older"), idempotency_key="k9")
    Answer.objects.filter(key="k9").update(began_at=timezone.now() - DAY - DAY / 100)
    assert forget_answers() == 1
    assert list(Answer.objects.values_list("key", flat=True)) == ["k8"]
    Answer.objects.update(began_at=timezone.now() - DAY - DAY / 100)  # and the task has not run yet
    assert world.owner.post("/projects", named(world, "New"), idempotency_key="k8").json()["name"] == "New"
