"""Texts that want to be more, outside the admin's and the tenants' lists: on the pages of an account, of those who sign
in, of operators; in what addresses say; in errors; in letters. And no template reads them again as one of its own."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import quote

import pytest
from django.core import mail
from django.template.loader import render_to_string
from django.test import Client

from apps.accounts.models import Identity, User
from apps.keys import grants
from apps.portal import letters
from apps.tenants import invitations
from apps.tenants.models import Invitation, Role, Tenant
from tests import factories
from tests.control.desk import _handler
from tests.control.test_admin_markup import AdminReader, fill, spoilt  # noqa: F401  # a fixture
from tests.control.test_every_url import TABLE, addresses, url
from tests.portal.test_hostile import MARK, PAYLOADS

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F30")]

# Of every language of templates that might read a text again: 1337 * 1337 is in none of them.
SUMS = (
    "{{1337*1337}}",
    "{% widthratio 1337 1 1337 %}",
    "${1337*1337}",
    "#{1337*1337}",
    "<%= 1337*1337 %>",
    "{{=1337*1337}}",
)
SUM = str(1337 * 1337)
ASKED = (
    *(
        "next",
        "q",
        "search",
        "s",
        "error",
        "error_description",
        "code",
        "state",
        "name",
        "user_code",
        "model",
        "e",
        "id",
    ),
    *(
        "key",
        "user",
        "project",
        "session",
        "status",
        "by",
        "span",
        "from",
        "to",
        "until",
        "username",
        "text",
        "request",
    ),
)
FILTERED = ("usage", "usage/refused", "usage/sessions", "usage/session", "costs", "keys", "members", "audit", "start")


def browser(user: Any = None) -> Client:
    client = Client(raise_request_exception=False)
    client.handler = _handler(False)
    if user is not None:
        client.force_login(user)
    return client


def wrong(response: Any) -> list[str]:
    """Where an answer has the mark other than as text. What is no page must not be taken for one."""
    kind = response.get("Content-Type", "")
    body = b"".join(response.streaming_content) if response.streaming else response.content
    assert response.get("X-Content-Type-Options") == "nosniff", kind
    if "text/html" not in kind:
        return (
            []
            if kind.startswith(("application/", "text/plain", "text/csv", "text/markdown", "text/javascript"))
            or not body
            else [kind]
        )
    reader = AdminReader()
    reader.feed(body.decode())
    policy = response["Content-Security-Policy"]
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe-inline" not in scripts
    assert "object-src" in policy or "default-src 'none'" in policy
    return reader.wrong


def test_names_are_text_on_every_page_that_is_nobodys_list(spoilt, operator, figure):  # noqa: F811
    payloads = itertools.cycle(PAYLOADS)
    Identity.objects.update(user=operator)
    fill(operator, payloads)
    grants.begin(client=PAYLOADS[2][:60], address="192.0.2.1")
    grant = grants.begin(client=f"{PAYLOADS[1]}/1.0", address="192.0.2.1")
    owner = factories.member(Tenant.objects.first(), role=Role.OWNER)
    User.objects.filter(pk=owner.pk).update(first_name=PAYLOADS[0], last_name=PAYLOADS[3])
    found, seen, pages = [], 0, 0
    for who in (operator, owner, None):
        client = browser(User.objects.get(pk=who.pk) if who is not None else None)
        places = [url(address, spoilt) for address in addresses() if address.pattern in TABLE]
        for place in [*places, f"/device/?user_code={grant.user_code}"]:
            response = client.get(place)
            found += [(place, each) for each in wrong(response)]
            seen += not response.streaming and MARK.encode() in response.content
            pages += 1
    assert found == []
    assert seen > 3, "they are on some of the pages"
    figure("F30", "other pages with texts that want to be more", pages, least=100)


def test_what_an_address_says_is_said_again_as_text_or_not_at_all(rows, operator, figure):
    """In the path and in every parameter, to somebody signed in and to nobody; also where it is refused."""
    payloads, found, asked, said = itertools.cycle(PAYLOADS), [], 0, 0
    places = [url(address, rows) for address in addresses() if address.pattern in TABLE]
    places += ["/admin/", "/admin/search/", "/admin/login/", "/admin/keys/key/", f"/t/{rows[Tenant].slug}/"]
    for client in (browser(operator), browser()):
        for place in places:
            query = {name: next(payloads) for name in ASKED}
            for response in (
                client.get(place, query),
                client.post(place, query),
                client.get(f"{place}{quote(next(payloads))}"),
            ):
                asked += 1
                said += not response.streaming and MARK.encode() in response.content
                found += [(place, each) for each in wrong(response)]
                to = response.get("Location", "")
                if MARK in to and not to.startswith(("/", "?")):
                    found.append((place, to))
    client = browser(operator)
    for page, name in itertools.product(FILTERED, ASKED):
        asked += 1
        response = client.get(f"/t/{rows[Tenant].slug}/{page}/", {name: next(payloads)})
        said += MARK.encode() in response.content
        found += [(page, name, each) for each in wrong(response)]
    for payload in PAYLOADS:
        answer = browser().get(
            f"/{quote(payload)}", headers={"host": "testserver", "referer": payload, "user-agent": payload}
        )
        found += [(payload, each) for each in wrong(answer)]
        strict = Client(enforce_csrf_checks=True, raise_request_exception=False)
        found += [
            (payload, each) for each in wrong(strict.post("/sign-in/", {}, headers={"referer": payload}, secure=True))
        ]
        found += [(payload, each) for each in wrong(strict.get("/sign-in/", headers={"host": "evil<script>.example"}))]
    assert found == []
    assert said > 20, "some say it again"
    figure("F30", "addresses that say texts that want to be more", asked, least=200)


@pytest.mark.parametrize("said", SUMS)
def test_no_template_reads_a_name_as_one_of_its_own(rows, operator, said):
    for model, row in rows.items():
        changes = {name: said for name in ("name", "display_name", "note", "first_name") if hasattr(row, name)}
        texts = {name for name in changes if any(field.name == name for field in row._meta.concrete_fields)}
        if texts and model is not Tenant:
            model._base_manager.filter(pk=row.pk).update(**dict.fromkeys(sorted(texts)[:1], said))
    Tenant.objects.filter(pk=rows[Tenant].pk).update(name=said)
    client, shown = browser(operator), 0
    slug = rows[Tenant].slug
    for place in (
        "admin/tenants/tenant/",
        "admin/keys/key/",
        "admin/catalog/provider/",
        f"t/{slug}/",
        f"t/{slug}/keys/",
        "",
    ):
        text = client.get(f"/{place}", follow=True).content.decode()
        assert SUM not in text, place
        shown += said.replace("<", "&lt;").replace(">", "&gt;") in text
    assert shown > 2


@pytest.mark.parametrize("payload", PAYLOADS)
def test_letters_say_it_as_text(payload):
    said = {
        "title": payload,
        "text": payload,
        "tenant": payload,
        "rule": {"name": payload},
        "url": "https://weir.example/",
    }
    reader = AdminReader()
    reader.feed(render_to_string("alerts/notice.html", {"data": said, "body": {"timestamp": payload}}))
    assert reader.wrong == []
    assert reader.seen >= 3
    assert payload in render_to_string("alerts/notice.txt", {"data": said, "body": {}}), "it is no markup there"


def test_no_name_adds_a_header_to_a_letter(acme, alice, settings):
    settings.WEIR_HAS_MAIL = True
    made = invitations.invite(acme, actor=alice, email="new@example.com", role=Role.VIEWER)
    hostile = "Acme\r\nBcc: all@example.com\r\n\r\n<script>"
    Tenant.objects.filter(pk=acme.pk).update(name=hostile)
    User.objects.filter(pk=alice.pk).update(first_name=hostile)
    letters.send(Invitation.objects.get(pk=made.invitation.pk), link="https://weir.example/")
    for letter in mail.outbox:
        head = letter.message().as_string().partition("\n\n")[0]
        assert "\nBcc" not in head
        assert letter.recipients() == ["new@example.com"]


def test_a_program_is_told_of_texts_in_json_that_no_browser_takes_for_a_page(rows, operator):
    client = browser(operator)
    rows_ = rows[Tenant]
    Tenant.objects.filter(pk=rows_.pk).update(name=PAYLOADS[0])
    response = client.get(f"/api/v1/tenants/{rows_.pk}", headers={"accept": "text/html, */*"})
    assert response["Content-Type"] == "application/json"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert json.loads(response.content)["name"] == PAYLOADS[0]
