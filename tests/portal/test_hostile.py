"""Names that want to be more than text, in every field that people fill in, on every page of a tenant: they are shown,
and never run. Beside them stands a pages' policy that would not run them either."""

from __future__ import annotations

import itertools
from html.parser import HTMLParser

import pytest

from apps.accounts.models import User
from apps.alerts.models import AlertRule, Destination
from apps.catalog.models import Model
from apps.keys.models import Key
from apps.quotas.models import Increase
from apps.tenants.models import Invitation, Project
from tests.portal.test_who_may import MAY, POSTED, answer, things  # noqa: F401  # a fixture

pytestmark = pytest.mark.attack("F30")

MARK = "pwn7"
PAYLOADS = [
    f"<script>{MARK}()</script>",
    f"</script><script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f"<svg onload={MARK}()>",
    f"<svg/onload={MARK}()//",
    f'"><script>{MARK}()</script>',
    f"'><script>{MARK}()</script>",
    f'" onmouseover="{MARK}()',
    f"' onfocus='{MARK}()' autofocus='",
    f'" autofocus onfocus={MARK}() x="',
    f"<body onload={MARK}()>",
    f"<iframe src=javascript:{MARK}()>",
    f"<a href=javascript:{MARK}()>x</a>",
    f"javascript:{MARK}()",
    f"JaVaScRiPt:{MARK}()",
    f"data:text/html,<script>{MARK}()</script>",
    f"<style>*{{x:{MARK}}}</style>",
    f"</style><script>{MARK}()</script>",
    f"</title><script>{MARK}()</script>",
    f"</textarea><script>{MARK}()</script>",
    f"</select><img src=x onerror={MARK}()>",
    f"<!--><script>{MARK}()</script>",
    f"]]><script>{MARK}()</script>",
    f"{{% if 1 %}}{MARK}{{% endif %}}",
    f"{{{{ request.user.{MARK} }}}}",
    f"${{{MARK}()}}",
    f"`${{{MARK}()}}`",
    f"<math><mtext><img src=x onerror={MARK}()>",
    f"<details open ontoggle={MARK}()>",
    f"<x hx-get=/{MARK} hx-trigger=load>",
    f"<base href=//{MARK}.example>",
    f"<meta http-equiv=refresh content=0;url=//{MARK}.example>",
]
LEADS = (f"/{MARK}", f"//{MARK}", f"0;url=//{MARK}")  # as the whole of what an attribute says
ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post", "data")


class Reader(HTMLParser):
    """Where a page has the mark other than as text, or as the value of what is no address."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.seen = 0
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        if MARK in tag:
            self.wrong.append(tag)
        for name, value in attrs:
            text = value or ""
            is_run = name.startswith("on") or text.startswith(LEADS)
            is_run |= name in ADDRESSES and text.strip().lower().startswith(("java", "data:t"))
            if MARK in name or (MARK in text and is_run):
                self.wrong.append(f"{tag} {name}={text}")
            self.seen += MARK in text

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if MARK in data:
            self.seen += 1
            if self._in in ("script", "style"):
                self.wrong.append(f"within {self._in}: {data[:80]}")

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.wrong.append(f"comment {data[:80]}")


def name_everything(acme, payloads):
    """Past all checks: what is in the database may be older than they are."""

    def next_name(length: int) -> str:
        name = next(payloads)
        while len(longer := f"{name} {next(payloads)}") <= length:
            name = longer
        return name[:length]

    type(acme).objects.filter(pk=acme.pk).update(name=next_name(100))
    for model, field, length in (
        (Project, "name", 100),
        (Key, "name", 100),
        (User, "first_name", 150),
        (Model, "name", 100),
        (AlertRule, "name", 80),
        (Destination, "name", 60),
        (Invitation, "email", 200),
        (Increase, "reason", 200),
    ):
        for row in model.objects.all():
            model.objects.filter(pk=row.pk).update(**{field: next_name(length)})


@pytest.mark.parametrize("start", [0, 11, 22])
def test_no_name_is_more_than_text_on_any_page(visit, things, acme, alice, figure, start):  # noqa: F811
    payloads = itertools.islice(itertools.cycle(PAYLOADS), start, None)
    name_everything(acme, payloads)
    visitor = visit(alice)
    shown = pages = 0
    for name in MAY.keys() - POSTED:
        response = answer(visitor, name, things)
        if "text/html" not in response.get("Content-Type", "") or response.status_code != 200:
            continue
        reader = Reader()
        reader.feed(response.content.decode())
        assert reader.wrong == [], name
        assert "script-src 'self'" in response["Content-Security-Policy"], name
        assert "unsafe" not in response["Content-Security-Policy"], name
        shown += reader.seen
        pages += 1
    figure(
        "F30",
        f"pages of the portal with {len(PAYLOADS)} texts that want to be more, from the {start}th",
        pages,
        least=35,
    )
    assert shown > 100, "they are on the pages"


def test_there_are_thirty_of_them():
    assert len(set(PAYLOADS)) >= 30


@pytest.mark.parametrize(
    "spoilt",
    [
        f"<img src=x onerror={MARK}()>",
        f"<script>{MARK}</script>",
        f"<a href='javascript:{MARK}'>",
        f"<x hx-get=/{MARK}>",
        f"<base href=//{MARK}.example>",
    ],
)
def test_a_page_that_runs_one_is_found(spoilt):
    reader = Reader()
    reader.feed(f"<p>fine: {MARK}</p>{spoilt}")
    assert len(reader.wrong) == 1
