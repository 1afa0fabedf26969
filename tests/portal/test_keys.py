"""Keys as members make and look after them: shown once, within their maker's rights, and nobody else's."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from apps.domain import money
from apps.keys import selectors as keyring
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.quotas.models import Budget, BudgetWindow, Limit
from tests import factories
from tests.portal.visitor import errors

SECRET = re.compile(r"weir_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}")
NEW = {"name": "Laptop", "lifetime": "90"}
PAGES = ("keys-one", "keys-edit", "keys-rotate", "keys-revoke", "keys-issued")


@pytest.fixture
def laptop(website, bob):
    return factories.key(website, name="Laptop", user=bob).key


@pytest.fixture
def robot(website):
    """Nobody's."""
    return factories.key(website, name="Robot").key


def test_a_key_is_shown_once_with_lines_to_paste_and_works(visit, website, bob):
    mine = visit(bob)
    response = mine.send("keys-new", NEW)
    key = Key.objects.get()
    assert response["Location"] == mine.url("keys-issued", key=key.pk)
    page = mine.get("keys-issued", key=key.pk)
    text = page.content.decode()
    found = set(SECRET.findall(text))
    assert len(found) == 1
    assert page["Cache-Control"] == "no-store"
    assert f"ANTHROPIC_AUTH_TOKEN={next(iter(found))}" in text
    principal = keyring.principal(found.pop())
    assert principal is not None
    assert (principal.key_id, principal.user_id) == (key.pk, bob.pk)
    assert not SECRET.search(mine.text("keys-issued", key=key.pk)), "a second time there is nothing to see"
    assert not SECRET.search(mine.text("keys-one", key=key.pk))


def test_a_key_has_its_own_budget_and_limits_within_those_above(visit, website, bob):
    quotas.create_budget(actor=None, project=website, amount=money.NANO * 20, period="month")
    too_much = visit(bob).send("keys-new", NEW | {"budget": "20.01", "period": "month"})
    assert "budget" in errors(too_much)
    assert not Key.objects.exists()
    assert Budget.objects.count() == 1
    visit(bob).send("keys-new", NEW | {"budget": "12.50", "period": "day", "requests_per_minute": "10"})
    key = Key.objects.get()
    assert (Budget.objects.get(key=key).amount, Budget.objects.get(key=key).period) == (12_500_000_000, "day")
    assert Limit.objects.get(key=key).requests_per_minute == 10


def test_somebody_whose_money_is_gone_still_sees_and_makes_keys(visit, website, bob, laptop):
    budget = quotas.create_budget(actor=None, project=website, amount=5, period="month")
    now = timezone.now()
    BudgetWindow.objects.create(
        budget=budget, starts=now.replace(day=1), ends=now + timezone.timedelta(days=31), limit=5, settled=5, ceiling=5
    )
    assert "Used up" in visit(bob).text("keys-one", key=laptop.pk)
    assert "Laptop" in visit(bob).text("keys")
    assert visit(bob).send("keys-new", NEW | {"name": "Another"}).status_code == 302


def test_developers_see_their_own_keys_only(visit, bob, ann, laptop, robot):
    text = visit(bob).text("keys")
    assert "Laptop" in text
    assert "Robot" not in text
    for page in PAGES:
        assert visit(bob).get(page, key=robot.pk).status_code == 404, page
    text = visit(ann).text("keys")
    assert "Laptop" in text
    assert "Robot" in text


def test_those_who_pay_make_no_keys(visit, vera, laptop):
    assert visit(vera).get("keys-new").status_code == 403
    assert visit(vera).get("keys-rotate", key=laptop.pk).status_code in (403, 404)
    assert "Laptop" not in visit(vera).text("keys")


@pytest.mark.parametrize("page", PAGES)
def test_another_tenants_keys_do_not_exist(visit, charlie, globex, acme, laptop, page):
    assert visit(charlie).get(page, key=laptop.pk).status_code == 404, "not even the tenant does"
    assert visit(charlie, at=globex).get(page, key=laptop.pk).status_code == 404
    assert visit(charlie, at=globex).post(page, {"typed": "Laptop", "overlap": "0"}, key=laptop.pk).status_code in (
        404,
        405,
    )
    laptop.refresh_from_db()
    assert laptop.revoked_at is None
    assert laptop.secrets.count() == 1


@pytest.mark.parametrize("page", ["keys", "keys-new"])
def test_whoever_has_not_signed_in_is_asked_to(visit, page):
    response = visit(None).get(page)
    assert response.status_code == 302
    assert "next=" in response["Location"]


def test_an_admin_makes_keys_for_others_and_for_machines(visit, website, ann, bob):
    visit(ann).send("keys-new", NEW | {"owner": str(bob.pk)})
    visit(ann).send("keys-new", NEW | {"owner": "nobody"})
    assert [key.user for key in Key.objects.order_by("pk")] == [bob, None]
    visit(bob).post("keys-new", NEW | {"project": website.pk, "owner": "nobody"})
    assert Key.objects.latest("pk").user == bob, "who may not, is not even asked"


BAD = {
    "name": [{"name": ""}, {"name": "x" * 101}],
    "project": [{"project": ""}, {"project": "999999999999999999999"}, {"project": "x"}],
    "lifetime": [{"lifetime": "13"}, {"lifetime": None}],
    "expires_at": [
        {"lifetime": "other", "expires_at": ""},
        {"lifetime": "other", "expires_at": "2020-01-01T00:00"},
        {"lifetime": "other", "expires_at": "tomorrow"},
    ],
    "models": [{"models": "no-such-model"}],
    "endpoints": [{"endpoints": "teapots"}],
    "networks": [{"networks": "300.1.2.3/24"}, {"networks": "192.0.2.1/24, x"}],
    "budget": [{"budget": "-1"}, {"budget": "a lot"}, {"budget": "0.0000000001"}, {"budget": "9" * 30}],
    "period": [{"budget": "1", "period": "century"}],
    "requests_per_minute": [{"requests_per_minute": "0"}, {"requests_per_minute": "1.5"}],
    "tokens_per_minute": [{"tokens_per_minute": "-3"}, {"tokens_per_minute": "9" * 40}],
    "concurrency": [{"concurrency": "x"}],
    "owner": [{"owner": "999999"}, {"owner": "nobody else"}],
}


@pytest.mark.parametrize(("field", "values"), [(field, values) for field, many in BAD.items() for values in many])
def test_what_cannot_be_is_told_at_its_field_and_nothing_is_saved(visit, website, ann, field, values):
    found = errors(visit(ann).send("keys-new", NEW | values))
    assert field in found
    assert all(found[field])
    assert not Key.objects.exists()
    assert not Budget.objects.exists()


def test_another_tenants_project_is_none_of_the_choices(visit, ann, website, globex):
    theirs = factories.project(globex, "Theirs")
    assert "project" in errors(visit(ann).send("keys-new", NEW | {"project": str(theirs.pk)}))
    assert "Theirs" not in visit(ann).text("keys-new")


def test_a_key_is_changed_by_those_whose_it_is(visit, bob, laptop):
    response = visit(bob).send("keys-edit", {"name": "Desktop", "networks": "192.0.2.0/24"}, key=laptop.pk)
    assert response.status_code == 302
    laptop.refresh_from_db()
    assert (laptop.name, laptop.networks) == ("Desktop", ["192.0.2.0/24"])
    again = errors(visit(bob).send("keys-edit", {"networks": "everywhere"}, key=laptop.pk))
    assert list(again) == ["networks"]


def test_a_rotated_key_keeps_its_identity_and_the_old_secret_for_the_overlap(visit, bob, website):
    issued = factories.key(website, name="Laptop", user=bob)
    visit(bob).send("keys-rotate", {"overlap": "1"}, key=issued.key.pk)
    assert Key.objects.count() == 1
    assert issued.key.secrets.filter(revoked_at=None).count() == 2
    assert keyring.principal(issued.plaintext) is not None
    text = visit(bob).text("keys-one", key=issued.key.pk)
    assert "works until" in text
    assert list(errors(visit(bob).send("keys-rotate", {"overlap": "9999"}, key=issued.key.pk))) == ["overlap"]


def test_a_key_is_revoked_by_typing_its_name(visit, bob, laptop):
    assert list(errors(visit(bob).send("keys-revoke", {"typed": "Desktop"}, key=laptop.pk))) == ["typed"]
    laptop.refresh_from_db()
    assert laptop.revoked_at is None
    assert visit(bob).send("keys-revoke", {"typed": "Laptop"}, key=laptop.pk).status_code == 302
    laptop.refresh_from_db()
    assert laptop.revoked_at is not None
    assert visit(bob).get("keys-edit", key=laptop.pk).status_code == 302, "what has ended stays as it was"
    assert "Make another like it" in visit(bob).text("keys-one", key=laptop.pk)


def test_the_list_is_filtered_and_paged(visit, ann, bob, website, laptop):
    keys = [factories.key(website, name=f"Robot {number:02}").key for number in range(55)]
    visit(bob).send("keys-revoke", {"typed": "Laptop"}, key=laptop.pk)
    assert "Laptop" not in visit(ann).text("keys", {"state": "active"})
    assert "Laptop" in visit(ann).text("keys", {"state": "revoked"})
    first = visit(ann).get("keys", {"state": "active"})
    older = re.search(r'href="([^"]+)" rel="next"', first.content.decode())
    assert older is not None
    assert "state=active" in older[1]
    second = visit(ann).client.get(older[1].replace("&amp;", "&")).content.decode()
    assert "Robot 04" in second
    assert "Robot 05" not in second
    by_key = visit(ann).text("keys", {"q": f"weir_{keys[3].public_id}…"})
    assert "Robot 03" in by_key
    assert "Robot 04" not in by_key
    assert "No key is like that" in visit(ann).text("keys", {"q": "zzz"})
    assert visit(ann).get("keys", {"page": "garbage"}).status_code == 404
    assert visit(ann).get("keys", {"project": "9" * 40, "state": "nonsense"}).status_code == 200


def test_the_list_asks_the_same_few_questions_however_long_it_is(
    visit, ann, bob, website, laptop, django_assert_max_num_queries
):
    for number in range(20):
        factories.key(website, name=f"Robot {number}", user=bob)
    hers = visit(ann)
    with django_assert_max_num_queries(10):
        hers.text("keys")
    with django_assert_max_num_queries(15):
        hers.text("keys-one", key=laptop.pk)
