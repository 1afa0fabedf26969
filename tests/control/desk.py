"""An operator at the admin, as a browser would have it: a page's form is filled in and sent with all its fields."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from django.urls import reverse

Values = dict[str, Any]


class Desk:
    """`client` is signed in as `user`. Pages are named like `keys_key_change`."""

    def __init__(self, user: Any, **options: Any) -> None:
        self.user = user
        self.client = Client(**options)
        self.client.handler = _handler(self.client.handler.enforce_csrf_checks)
        self.client.force_login(user)

    def url(self, page: str, *arguments: Any) -> str:
        return reverse(f"admin:{page}", args=arguments)

    def get(self, page: str, *arguments: Any, **query: Any) -> HttpResponse:
        return self.client.get(self.url(page, *arguments), query)

    def text(self, page: str, *arguments: Any, **query: Any) -> str:
        """The page, which must open."""
        response = self.get(page, *arguments, **query)
        assert response.status_code == 200, (page, response.status_code)
        return response.content.decode()

    def form(self, page: str, *arguments: Any, **query: Any) -> Values:
        return fields(self.text(page, *arguments, **query))

    def send(self, page: str, *arguments: Any, query: Values | None = None, **changes: Any) -> HttpResponse:
        """Fills the page's form in with `changes` and sends it to where it is."""
        values = self.form(page, *arguments, **(query or {})) | changes
        url = self.url(page, *arguments) + (f"?{urlencode(query)}" if query else "")
        return self.client.post(url, {k: v for k, v in values.items() if v is not None})

    def act(self, page: str, action: str, *rows: Any, **values: Any) -> HttpResponse:
        """Does an action of a list to some of its rows, and says yes where it is asked for."""
        asked = self.ask(page, action, *rows, **values)
        if 'name="mark"' not in asked.content.decode():
            return asked
        return self.client.post(self.url(page), fields(asked.content.decode()) | values, follow=True)

    def ask(self, page: str, action: str, *rows: Any, **values: Any) -> HttpResponse:
        """The page that says what an action of a list would do."""
        chosen = {"action": action, "_selected_action": [row.pk for row in rows], "index": 0} | values
        return self.client.post(self.url(page), chosen, follow=True)


@functools.cache
def _handler(enforce_csrf_checks: bool) -> ClientHandler:
    """One for all desks: a new one would look for every static file first, which takes as long as a page does."""
    return ClientHandler(enforce_csrf_checks)


class _Form(HTMLParser):
    """The successful controls of a page, in the words of HTML, file inputs and buttons left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._select: tuple[str, bool] | None = None
        self._first: str | None = None
        self._chosen = False
        self._textarea: list[str] | None = None
        self._name = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and name and "disabled" not in given:
            kind = given.get("type") or "text"
            if kind not in ("submit", "button", "file") and (kind not in ("checkbox", "radio") or "checked" in given):
                self.found.append((name, given.get("value") or ("on" if kind == "checkbox" else "")))
        elif tag == "select":
            usable = name if "disabled" not in given else ""
            self._select, self._first, self._chosen = (usable, "multiple" in given), None, False
        elif tag == "option" and self._select is not None:
            if self._first is None:
                self._first = given.get("value") or ""
            if "selected" in given:
                self._chosen = True
                self._add_option(given.get("value") or "")
        elif tag == "textarea":
            self._name, self._textarea = name, []

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select is not None:
            if not self._chosen and not self._select[1] and self._first is not None:
                self._add_option(self._first)
            self._select = None
        elif tag == "textarea" and self._textarea is not None:
            self.found.append((self._name, "".join(self._textarea).removeprefix("\n")))
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self._textarea.append(data)

    def _add_option(self, value: str) -> None:
        assert self._select is not None
        if self._select[0]:
            self.found.append((self._select[0], value))


def fields(page: str) -> Values:
    """What a browser would send, were the form sent as it is; several of a name as a list."""
    parser = _Form()
    parser.feed(page)
    values: Values = {}
    for name, value in parser.found:
        if name in ("csrfmiddlewaretoken", "q") or "__prefix__" in name:
            continue
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        elif values[name] != value:
            values[name] = [values[name], value]
    return values


def errors(response: HttpResponse) -> dict[str, list[str]]:
    """By field, of the form and of its inlines; what concerns the whole form under ''."""
    assert response.status_code == 200, f"sent away to {response.get('location')}"
    form = response.context["adminform"].form
    found = {name if name != "__all__" else "": list(texts) for name, texts in form.errors.items()}
    for formset in response.context["inline_admin_formsets"]:
        for rows in _rows(formset.formset):
            found.update(rows)
    return found


def _rows(formset: Any) -> Iterator[dict[str, list[str]]]:
    if formset.non_form_errors():
        yield {formset.prefix: list(formset.non_form_errors())}
    for row in formset.forms:
        yield {f"{row.prefix}-{name}": list(texts) for name, texts in row.errors.items()}
