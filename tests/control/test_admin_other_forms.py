"""The pages of the admin beside those of Django's own, and what is done to many rows: whatever is asked or sent there
is answered, what cannot be is told at its field, and nothing is saved of it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.forms import BaseForm
from django.http import QueryDict

from apps.audit.models import Record
from gateway_site.charset import Utf8Request
from tests.bad_values import LONG, NUL, rounds, sent
from tests.control.desk import fields
from tests.control.test_admin_bad_input import MODELS, everything
from tests.control.test_every_url import OPENED, Address, addresses, url

pytestmark = [pytest.mark.django_db, pytest.mark.once]
JUNK = (NUL, "x" * 5_000, "-1", "9" * 30, "9999-12-31T23:59", "[1]")
OWN = ("admin:password_change", "admin:auth_user_password_change")  # whose names end as of a row's page
ENDS = ("logout", "_undo", "_issued")  # with nothing to fill in
LONG_ONES = {"request", "text"}  # which may be
MANY = 2_000
NO_TEXTS = ("zip", "undefined")
CODECS = ("zip", "unicode_escape", "undefined", "utf-16")
SEVERAL = pytest.mark.parametrize("group", range(4))


def others() -> list[Address]:
    """Lists too, which have filters."""
    inside = [address for address in addresses() if address.pattern.startswith("admin/") and address.name != "admin:"]
    plain = tuple(f"_{name}" for name in OPENED if name != "changelist")
    return [address for address in inside if not address.name.endswith((*plain, *ENDS)) or address.name in OWN]


def heard(method: Any, found: set[str]) -> Any:
    def ask(self: QueryDict, key: str, *arguments: Any, **options: Any) -> Any:
        found.add(key)
        return method(self, key, *arguments, **options)

    return ask


@pytest.fixture
def asked(monkeypatch):
    """The names that code asks of a query or a body."""
    found: set[str] = set()
    for name in ("__getitem__", "get", "getlist", "__contains__"):
        monkeypatch.setattr(QueryDict, name, heard(getattr(QueryDict, name), found))
    return found


def form_of(response: Any) -> BaseForm | None:
    if response.context is None or "adminform" in response.context:
        return None
    found = response.context.get("form")
    return found if isinstance(found, BaseForm) and found.fields else None


@SEVERAL
def test_whatever_an_address_is_asked_it_answers(group, desk, rows, asked):
    junk = itertools.cycle(JUNK)
    for address in others()[group::4]:
        for ask in (desk.client.get,) if address.name.endswith("_changelist") else (desk.client.get, desk.client.post):
            asked.clear()
            ask(url(address, rows))
            told = {name: next(junk) for name in sorted(asked - {"csrfmiddlewaretoken"})}
            assert ask(url(address, rows), told).status_code < 500, (address.pattern, told)


def test_what_cannot_be_is_told_at_its_field(desk, rows):
    tried, taken, before = set(), [], (everything(), Record.objects.count())
    for address in others():
        place = url(address, rows)
        opened = desk.client.get(place)
        form = form_of(opened)
        if form is None or address.name.endswith("changelist"):
            continue
        tried.add(address.name.partition(":")[2])
        whole = fields(opened.content.decode())
        for wrong in rounds(form.fields):
            values = dict(whole)
            for name, word in wrong.items():
                values |= sent(name, form.fields[name], word)
            send = desk.client.get if "what_if" in address.name else desk.client.post
            again = form_of(send(place, values))
            assert again is not None, (place, wrong)
            left = {name for name, word in wrong.items() if name not in LONG_ONES or word != LONG}
            taken += [(address.name, name, wrong[name][:30]) for name in left - again.errors.keys()]
    assert taken == []
    assert tried >= {"explain", "transfer", "what_if_price", "what_if_budget", "keys_key_rotate", "keys_key_revoke"}
    assert tried >= {"password_change", "policies_datapolicy_trial", "reconciliation_report_post_differences"}
    assert (everything(), Record.objects.count()) == before


def actions(desk: Any, rf: Any) -> Iterator[tuple[Any, str, str]]:
    """Of all lists: the table, the address, the action."""
    request = rf.get("/")
    request.user = desk.user
    for model in MODELS:
        place = desk.url(f"{model._meta.app_label}_{model._meta.model_name}_changelist")
        for action in admin.site._registry[model].get_actions(request):
            yield model, place, action


def test_what_is_no_row_is_not_worked_on(desk, rows, rf):
    before = (everything(), Record.objects.count())
    chosen: list[list[Any]] = [["abc", NUL, "-1", "9" * 30, "1e5", "", LONG], list(range(10**6, 10**6 + MANY)), []]
    for keys, (_, place, action) in zip(itertools.cycle(chosen), actions(desk, rf), strict=False):
        data = {"action": action, ACTION_CHECKBOX_NAME: keys, "index": "x", "select_across": "-1", "mark": NUL}
        assert desk.client.post(place, data).status_code < 500, (place, action, keys[:1])
    assert (everything(), Record.objects.count()) == before


def test_what_is_done_to_many_rows_tells_what_cannot_be(desk, rows, rf):
    tried, before = set(), (everything(), Record.objects.count())
    for model, place, action in actions(desk, rf):
        chosen = {"action": action, ACTION_CHECKBOX_NAME: [rows[model].pk], "index": 0}
        opened = desk.client.post(place, chosen)
        form, whole = form_of(opened), fields(opened.content.decode())
        if form is None or "mark" not in whole:
            continue
        tried.add(action)
        for wrong in rounds(form.fields):
            again = form_of(desk.client.post(place, whole | wrong))
            assert again is not None, (place, action, wrong)
            assert wrong.keys() <= again.errors.keys(), (place, action, wrong)
    assert {"move_selected", "expire_selected", "rotate_selected", "revoke_selected"} <= tried
    assert (everything(), Record.objects.count()) == before


@pytest.mark.parametrize("codec", CODECS)
def test_no_codec_is_believed(codec, desk, client):
    """Some of Python's make half characters of plain ones, and some are no codecs of texts."""
    half, kinds = r"\ud800", ("multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "text/plain")
    body = f'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n{half}\r\n--b--\r\n'
    for kind in (f"{each}; charset={codec}" for each in kinds):
        assert client.generic("POST", "/sign-in/", body, content_type=kind).status_code < 500
        if codec not in NO_TEXTS:  # at which Django fails before any middleware
            listed = f"{desk.url('keys_key_changelist')}?q={half}"
            assert desk.client.get(listed, CONTENT_TYPE=kind).status_code == 200


def test_a_page_of_findings_that_there_is_not_is_not_found(desk):
    for number in ("x", "7", "-1", "9" * 5_000):
        asked = {"s": "no such thing", "extended": "1", "page": number}
        assert desk.client.get(desk.url("search"), asked).status_code == 404


@pytest.mark.parametrize("codec", CODECS)
def test_a_query_is_read_whatever_codec_is_named(codec):
    headers = [(b"content-type", f"text/plain; charset={codec}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"q=%5Cud800", "headers": headers}
    assert Utf8Request(scope, io.BytesIO()).GET["q"] == r"\ud800"
