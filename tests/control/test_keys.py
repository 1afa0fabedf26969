"""Keys: shown once, stored as a digest, confined to their tenant, ended on record."""

from __future__ import annotations

import datetime
import random
import threading
import time

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.accounts import services as accounts
from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.catalog import services as catalog
from apps.domain import keys as format_of_keys
from apps.keys import selectors, services
from apps.keys.models import Key, KeySecret
from apps.tenants import services as tenants
from apps.tenants.models import Membership
from tests import factories
from tests.control.desk import errors

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


def issue(project, **fields):
    return factories.key(project, **fields)


def works(plaintext):
    found = selectors.principal(plaintext)
    now = time.time()
    return found is not None and not any(at is not None and at <= now for at in (found.expires_at, found.revoked_at))


# --- issuing ---------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_stored_as_a_digest(website, alice):
    issued = services.issue(actor=alice, tenant=website.tenant, project=website, name="laptop")
    secret = KeySecret.objects.get()
    assert format_of_keys.public_id(issued.plaintext) == issued.key.public_id == secret.public_id
    assert issued.plaintext.endswith(issued.key.last_four)
    assert len(bytes(secret.digest)) == 32
    assert issued.key.created_by == alice
    assert issued.plaintext not in repr(issued)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            assert issued.plaintext[18:] not in str([[str(value) for value in row] for row in cursor.fetchall()])


def test_no_two_keys_are_alike(website):
    issued = [issue(website).plaintext for _ in range(20)]
    assert len({key[5:17] for key in issued}) == len({key[18:61] for key in issued}) == 20


def test_issuing_is_recorded_and_numbered(website, alice):
    issued = services.issue(actor=alice, tenant=website.tenant, project=website, name="laptop", models=None)
    row = Record.objects.latest("id")
    assert (row.action, row.area, row.actor_id, row.tenant_id) == ("key.issued", "keys", alice.pk, website.tenant_id)
    assert Key.objects.get().revision == row.revision == audit.revisions()["keys"]
    assert issued.plaintext[18:] not in str(row.after)


def test_a_key_stays_within_its_tenant(website, acme, globex, bob, charlie):
    foreign = factories.project(globex)
    factories.model("theirs", tenants=[globex])
    factories.model("ours", aliases=["our-alias"], tenants=[acme])
    factories.model("everyones")
    for fields in (
        {"project": foreign},
        {"user": charlie},
        {"models": ["theirs"]},
        {"models": ["ours", "nobodys"]},
    ):
        with pytest.raises(ValidationError):
            services.issue(**({"actor": None, "tenant": acme, "project": website, "name": "k"} | fields))
    assert not Key.objects.exists()
    assert issue(website, user=bob, models=["ours", "our-alias", "everyones"]).key.user == bob


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"models": "everyones"},
        {"models": ["x", "x"]},
        {"endpoints": ["mesages"]},
        {"networks": ["192.0.2.1/8"]},
        {"networks": ["everywhere"]},
        {"expires_at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
    ],
)
def test_a_key_that_cannot_be_is_refused(website, fields):
    with pytest.raises(ValidationError):
        issue(website, **fields)
    assert not Key.objects.exists()


def test_nothing_is_issued_for_what_was_shut_off(website, acme, bob):
    accounts.deactivate(bob, actor=None)
    with pytest.raises(ValidationError, match="deactivated"):
        issue(website, user=bob)
    tenants.deactivate_project(website, actor=None)
    with pytest.raises(ValidationError, match="active"):
        issue(website)


# --- who presents it -------------------------------------------------------------------------------------------


def test_a_principal_is_told_all_that_confines_it_in_one_query(website, bob, django_assert_num_queries):
    factories.model("claude")
    expires = timezone.now() + DAY
    issued = issue(
        website,
        user=bob,
        models=["claude"],
        endpoints=["messages"],
        networks=["192.0.2.0/24", "2001:db8::/32"],
        expires_at=expires,
    )
    with django_assert_num_queries(1):
        found = selectors.principal(issued.plaintext)
    assert (found.key_id, found.public_id) == (issued.key.pk, issued.key.public_id)
    assert (found.tenant_id, found.project_id, found.user_id) == (website.tenant_id, website.pk, bob.pk)
    assert (found.models, found.endpoints) == ({"claude"}, {"messages"})
    assert found.networks == ("192.0.2.0/24", "2001:db8::/32")
    assert (found.expires_at, found.revoked_at) == (int(expires.timestamp()), None)


def test_a_key_that_is_not_confined_says_so(website):
    found = selectors.principal(issue(website).plaintext)
    assert (found.user_id, found.models, found.endpoints, found.networks, found.expires_at) == (None,) * 5


def test_a_key_confined_to_nothing_is_not_a_key_for_everything(website):
    found = selectors.principal(issue(website, models=[], endpoints=[], networks=[]).plaintext)
    assert (found.models, found.endpoints, found.networks) == (frozenset(), frozenset(), ())


def test_junk_costs_no_query(website, django_assert_num_queries):
    key = issue(website).plaintext
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    junk = ["", "weir_", "x" * 67, key[:-1], key + "x", "ä" * 67, "\ud800" * 67]
    for _ in range(500):
        index = dice.randrange(len(key))
        junk.append(key[:index] + dice.choice(format_of_keys.ALPHABET.replace(key[index], "")) + key[index + 1 :])
    with django_assert_num_queries(0):
        assert [text for text in junk if selectors.principal(text) is not None] == []


def test_a_well_formed_key_that_was_never_issued_is_nobodys(website):
    issue(website)
    assert selectors.principal(services._mint()) is None


def test_a_public_id_with_another_secret_is_nobodys(website):
    public = issue(website).key.public_id
    bits = 0
    for symbol in public:
        bits = bits * 62 + format_of_keys.ALPHABET.index(symbol)
    forged = format_of_keys.mint(public_bits=bits, secret_bits=1)
    assert format_of_keys.public_id(forged) == public
    assert selectors.principal(forged) is None


def test_a_users_key_stops_when_the_user_is_shut_off_or_leaves(website, alice, bob):
    own, shared = issue(website, user=bob).plaintext, issue(website).plaintext
    accounts.deactivate(bob, actor=None)
    assert not works(own)
    accounts.activate(bob, actor=None)
    assert works(own)
    tenants.remove_member(Membership.objects.get(user=bob), actor=alice)
    assert not works(own)
    assert works(shared)


# --- changes ---------------------------------------------------------------------------------------------------


def test_revoking_ends_every_secret_and_is_recorded_once(website, alice):
    first = issue(website)
    second = services.rotate(first.key, actor=alice, overlap=DAY)
    services.revoke(first.key, actor=alice)
    assert first.key.revoked_at is not None
    assert not works(first.plaintext)
    assert not works(second.plaintext)
    number = audit.revisions()["keys"]
    services.revoke(first.key, actor=alice)
    assert audit.revisions()["keys"] == number
    assert Record.objects.filter(action="key.revoked").count() == 1


def test_a_change_is_recorded_numbered_and_validated(website, globex, alice):
    key = issue(website).key
    factories.model("theirs", tenants=[globex])
    services.update(key, actor=alice, name="renamed", endpoints=("messages",))
    row = Record.objects.latest("id")
    assert (row.before, row.after) == (
        {"name": "a key", "endpoints": None},
        {"name": "renamed", "endpoints": ["messages"]},
    )
    assert Key.objects.get().revision == row.revision
    for changes in (
        {"models": ["theirs"]},
        {"project": factories.project(globex)},
        {"expires_at": timezone.now() - DAY},
    ):
        with pytest.raises(ValidationError):
            services.update(key, actor=alice, **changes)
    for name in ("tenant", "user", "public_id", "revoked_at", "revision"):
        with pytest.raises(TypeError, match=name):
            services.update(key, actor=alice, **{name: None})


@pytest.mark.parametrize("later", [DAY * 9, None])
def test_a_key_that_has_expired_stays_that(website, time_machine, later):
    """Its digest may be gone: the pepper it hung on can be retired."""
    key = issue(website, expires_at=timezone.now() + DAY).key
    stale = Key.objects.get()
    stale.expires_at = None  # as somebody's form left it
    time_machine.move_to(timezone.now() + 2 * DAY)
    for row in (key, stale):
        with pytest.raises(ValidationError, match="issue another") as refused:
            services.update(row, actor=None, expires_at=later and timezone.now() + later)
        assert list(refused.value.message_dict) == ["expires_at"]
    assert services.update(key, actor=None, name="renamed", expires_at=key.expires_at).name == "renamed"
    assert Key.objects.get().expires_at == key.expires_at


def test_a_key_that_has_expired_is_not_prolonged_in_the_admin(desk, website):
    key = factories.key(website).key
    Key.objects.update(expires_at=timezone.now() - DAY)
    later = desk.send("keys_key_change", key.pk, expires_at_0="2099-12-31", expires_at_1="12:00")
    for response in (later, desk.send("keys_key_change", key.pk, expires_at_0="", expires_at_1="")):
        assert errors(response) == {"expires_at": [services.EXPIRED]}
    assert desk.send("keys_key_change", key.pk, name="Museum").status_code == 302


def test_a_key_can_be_renamed_after_its_model_was_disabled(website):
    model = factories.model("claude")
    key = issue(website, models=["claude"]).key
    catalog.update_model(model, actor=None, is_enabled=False)
    assert services.update(key, actor=None, name="renamed").name == "renamed"


def test_changed_since_names_all_secrets_of_exactly_the_changed_keys(website, django_assert_num_queries):
    first, second, third = (issue(website) for _ in range(3))
    start = audit.revisions()["keys"]
    assert selectors.changed_since(start) == []
    old = first.key.public_id
    services.rotate(first.key, actor=None, overlap=DAY)
    services.revoke(second.key, actor=None)
    with django_assert_num_queries(1):
        assert set(selectors.changed_since(start)) == {old, first.key.public_id, second.key.public_id}
    assert set(selectors.changed_since(audit.revisions()["keys"] - 1)) == {second.key.public_id}
    assert third.key.public_id in selectors.changed_since(0)


@pytest.mark.django_db(transaction=True)
def test_no_change_slips_past_a_reader_who_polls():
    project = factories.project()
    keys = [issue(project).key for _ in range(3)]
    seen, start = audit.revisions()["keys"], threading.Barrier(4)
    noticed, running = set(), threading.Event()
    running.set()

    def rename(key):
        start.wait()
        try:
            for number in range(5):
                services.update(key, actor=None, name=f"{number}")
        finally:
            connection.close()

    threads = [threading.Thread(target=rename, args=[key]) for key in keys]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        number = audit.revisions()["keys"]
        noticed.update((number, public_id) for public_id in selectors.changed_since(seen))
        seen = number
    noticed.update((-1, public_id) for public_id in selectors.changed_since(seen))
    assert {public_id for _, public_id in noticed} == {key.public_id for key in keys}
    final = {key.public_id: Key.objects.get(pk=key.pk).revision for key in keys}
    for public_id, revision in final.items():
        assert any(name == public_id and (number >= revision or number == -1) for number, name in noticed)


# --- isolation -------------------------------------------------------------------------------------------------


def test_bob_sees_the_keys_of_his_tenant_and_charlie_does_not(website, bob, charlie):
    key = issue(website).key
    assert list(Key.objects.for_user(bob)) == [key]
    assert not Key.objects.for_user(charlie).exists()


def test_the_database_refuses_two_secrets_with_one_digest(website):
    issue(website)
    secret = KeySecret.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        KeySecret.objects.create(key=secret.key, public_id="x" * 12, digest=secret.digest, last_four="abcd")
