"""Members and invitations: nobody gives more than they have, an owner stays, and a link works once, for one address."""

from __future__ import annotations

import datetime
import re

import pytest
from django.core import mail
from django.utils import timezone

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import Record
from apps.keys import selectors as keys
from apps.tenants import invitations, services
from apps.tenants.models import Invitation, Membership, Role
from tests import factories
from tests.portal.visitor import Visitor, errors

LINK = re.compile(r"http://testserver(/invitations/[\w-]+/)")
NEW = {"email": "dora@example.com", "role": "developer"}
ACCOUNT = {"username": "dora", "first_name": "Dora", "last_name": "Day", "password": "correct-horse-battery"}


def membership(user):
    return Membership.objects.get(user=user)


def link_in(response):
    assert response.status_code == 200, response.status_code
    return LINK.search(response.content.decode())[1]


def invited(visitor, **values):
    return link_in(visitor.send("members-invite", NEW | values))


# --- who sees and changes whom -------------------------------------------------------------------------------------


def test_all_members_see_who_there_is_and_only_some_what_they_do(visit, alice, bob, vera):
    accounts.update_user(alice, actor=None, email="alice@example.com")
    for somebody in (bob, vera):
        text = visit(somebody).text("members")
        assert "alice" in text
        assert "alice@example.com" not in text
        assert "Change" not in text
    assert "alice@example.com" in visit(alice).text("members")


def test_an_admin_neither_makes_nor_touches_an_owner(visit, alice, ann, bob):
    at = visit(ann)
    owner = membership(alice)
    for page in ("members-one", "members-remove"):
        assert at.get(page, member=owner.pk).status_code == 403
        assert at.post(page, {"role": "viewer", "typed": "alice"}, member=owner.pk).status_code == 403
    assert "role" in errors(at.post("members-one", {"role": "owner"}, member=membership(bob).pk))
    assert "role" in errors(at.post("members-invite", NEW | {"role": "owner"}))
    assert "role" in errors(at.post("members-one", {"role": "owner"}, member=membership(ann).pk))
    assert (membership(alice).role, membership(bob).role, membership(ann).role) == ("owner", "developer", "admin")
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("page", ["members-invite", "members-one", "members-remove", "members-withdraw"])
def test_who_does_not_manage_members_changes_none(visit, acme, alice, bob, vera, charlie, globex, page):
    mine = invitations.invite(acme, actor=alice, email="e@example.com", role="viewer").invitation
    where = {"members-invite": {}, "members-withdraw": {"invitation": mine.pk}}.get(
        page, {"member": membership(bob).pk}
    )
    values = NEW | {"typed": "bob"}
    for somebody in (bob, vera):
        assert visit(somebody).post(page, values, **where).status_code == 403
    assert visit(charlie).post(page, values, **where).status_code == 404
    if where:
        assert visit(charlie, globex).post(page, values, **where).status_code == 404
    assert visit(None).post(page, values, **where).status_code == 302
    assert membership(bob).role == "developer"
    assert Invitation.objects.get().withdrawn_at is None


def test_a_role_is_changed_and_recorded(visit, alice, bob):
    visit(alice).send("members-one", {"role": "admin"}, member=membership(bob).pk)
    assert membership(bob).role == Role.ADMIN
    assert Record.objects.get(action="member.role_changed").actor_id == alice.pk


def test_the_last_owner_stays(visit, alice):
    at, own = visit(alice), membership(alice).pk
    assert errors(at.send("members-one", {"role": "admin"}, member=own)) == {"": ["The last owner of a tenant stays."]}
    assert "" in errors(at.send("members-remove", {"typed": "alice"}, member=own))
    assert membership(alice).role == Role.OWNER


def test_removing_takes_the_typed_name_and_stops_their_keys(visit, website, alice, bob):
    key = factories.key(website, user=bob)
    at, row = visit(alice), membership(bob).pk
    assert "1 key of theirs" in at.text("members-remove", member=row)
    assert "typed" in errors(at.send("members-remove", {"typed": "bobby"}, member=row))
    assert keys.principal(key.plaintext) is not None
    at.send("members-remove", {"typed": "bob"}, member=row)
    assert not Membership.objects.filter(user=bob).exists()
    assert keys.principal(key.plaintext) is None
    assert visit(bob).get("overview").status_code == 404


# --- invitations ---------------------------------------------------------------------------------------------------


def test_who_is_invited_makes_an_account_and_belongs(visit, acme, alice):
    path = invited(visit(alice))
    (letter,) = mail.outbox
    assert letter.to == ["dora@example.com"]
    assert path in letter.body
    guest = Visitor(None, acme)
    assert "Join Acme" in guest.client.get(path).content.decode()
    response = guest.client.post(path, ACCOUNT)
    assert response["Location"] == guest.url("overview")
    assert guest.get("overview").status_code == 200, "and is signed in"
    dora = User.objects.get(username="dora")
    assert (dora.email, membership(dora).role) == ("dora@example.com", "developer")
    assert Visitor(None, acme).client.get(path).status_code == 404, "once"
    assert Visitor(None, acme).client.post(path, ACCOUNT | {"username": "eve"}).status_code == 404
    assert not User.objects.filter(username="eve").exists()


def test_a_link_is_shown_once_and_kept_as_a_digest(visit, alice):
    response = visit(alice).send("members-invite", NEW)
    token = link_in(response).split("/")[-2]
    assert response["Cache-Control"] == "no-store"
    assert token not in visit(alice).text("members")
    row = Invitation.objects.get()
    assert token not in str(row.__dict__)
    assert token not in str(list(Record.objects.values_list("after", flat=True)))
    assert row.digest not in str(list(Record.objects.values_list("after", flat=True)))


def test_only_the_invited_address_accepts(visit, acme, alice, charlie, globex):
    path = invited(visit(alice))
    stranger = visit(charlie, globex)
    accounts.update_user(charlie, actor=None, email="charlie@example.com")
    assert "for another address" in stranger.client.get(path).content.decode()
    assert stranger.client.post(path).status_code == 409
    assert not Membership.objects.filter(user=charlie, tenant=acme).exists()
    accounts.update_user(charlie, actor=None, email="DORA@example.com")
    assert stranger.client.post(path)["Location"] == visit(charlie).url("overview")
    assert Membership.objects.get(user=charlie, tenant=acme).role == "developer"


def test_who_has_an_account_signs_in_first(visit, acme, alice):
    factories.user("dora", email="dora@example.com")
    path = invited(visit(alice))
    guest = Visitor(None, acme)
    assert "Sign in to join" in guest.client.get(path).content.decode()
    assert guest.client.post(path, ACCOUNT | {"username": "second"}).status_code == 302
    assert not User.objects.filter(username="second").exists()


@pytest.mark.parametrize("why", ["expired", "withdrawn", "again", "sender left", "sender below", "tenant off"])
def test_a_link_that_is_good_no_longer_lets_nobody_in(visit, acme, alice, ann, why):
    path = invited(visit(ann), role="admin")
    row = Invitation.objects.get()
    match why:
        case "expired":
            Invitation.objects.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
        case "withdrawn":
            visit(alice).post("members-withdraw", invitation=row.pk)
        case "again":
            invited(visit(alice), email="Dora@example.com")
        case "sender left":
            services.remove_member(membership(ann), actor=None)
        case "sender below":
            services.change_role(membership(ann), actor=None, role="developer")
        case "tenant off":
            services.deactivate_tenant(acme, actor=None)
    guest = Visitor(None, acme)
    assert guest.client.get(path).status_code == 404
    assert guest.client.post(path, ACCOUNT).status_code == 404
    assert not User.objects.filter(username="dora").exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        *(({"email": word}, "email") for word in ("", "dora", "a@b", "a\n@example.com", f"{'a' * 250}@example.com")),
        ({"email": "bob@example.com"}, "email"),
        *(({"role": word}, "role") for word in ("", "king", "Owner")),
    ],
)
def test_an_invitation_that_cannot_be_is_said_at_its_field(visit, alice, bob, values, field):
    accounts.update_user(bob, actor=None, email="Bob@example.com")
    assert field in errors(visit(alice).post("members-invite", NEW | values))
    assert not Invitation.objects.exists()
    assert not mail.outbox


@pytest.mark.parametrize(
    ("values", "field"),
    [
        *(({"username": word}, "username") for word in ("", "bob", "a b", "u" * 151)),
        *(({"password": word}, "password") for word in ("", "123", "dora", "p" * 1_001)),
        ({"first_name": "f" * 151}, "first_name"),
    ],
)
def test_an_account_that_cannot_be_is_said_at_its_field(visit, acme, alice, bob, values, field):
    path = invited(visit(alice))
    assert field in errors(Visitor(None, acme).client.post(path, ACCOUNT | values))
    assert not User.objects.filter(email="dora@example.com").exists()
    assert Invitation.objects.get().accepted_at is None


@pytest.mark.parametrize("token", ["x", "x" * 101, "%00", "..%2f"])
def test_a_made_up_link_is_none(client, db, token):
    assert client.get(f"/invitations/{token}/").status_code == 404


def test_a_mail_server_that_is_away_leaves_the_link(visit, alice, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    response = visit(alice).send("members-invite", NEW)
    assert "No mail could be sent" in response.content.decode()
    assert LINK.search(response.content.decode())
    assert Invitation.objects.count() == 1


def test_names_are_text(visit, acme, alice):
    payload = "<script>alert(1)</script>"
    factories.member(acme, "mallory")
    User.objects.filter(username="mallory").update(first_name=payload, last_name="")
    row = Membership.objects.get(user__username="mallory").pk
    at = visit(alice)
    for text in (at.text("members"), at.text("members-one", member=row), at.text("members-remove", member=row)):
        assert payload not in text
        assert "&lt;script&gt;" in text
