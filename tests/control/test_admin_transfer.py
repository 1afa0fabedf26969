"""Models, deployments and prices as files: taken away, shown before they are brought in, brought in whole or not."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog.models import Deployment, Model, Price
from apps.config import tables
from apps.config.document import Refused
from tests import factories
from tests.control.desk import Desk, fields

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment() -> Deployment:
    model = factories.model("m", display_name='=HYPERLINK("x")', aliases=["a", "b"])
    made = factories.deployment(model, factories.provider("P"), upstream_model="up")
    factories.price(made)
    return made


def taken(desk: Desk, name: str, ending: str = "csv") -> str:
    answer = desk.get("transfer_file", name, ending)
    assert answer.status_code == 200
    return answer.getvalue().decode("utf-8-sig")


def edited(text: str, **changes: str) -> str:
    rows = list(csv.DictReader(io.StringIO(text)))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows({**row, **changes} for row in rows)
    return out.getvalue()


def upload(desk: Desk, what: str, text: str | bytes, name: str = "file.csv"):
    content = text.encode() if isinstance(text, str) else text
    return desk.client.post(desk.url("transfer"), {"what": what, "file": SimpleUploadedFile(name, content)})


def confirm(desk: Desk, shown):
    return desk.client.post(desk.url("transfer"), fields(shown.content.decode()), follow=True)


def test_what_is_taken_away_changes_nothing_when_it_is_brought_in(desk, deployment):
    for name in tables.NAMES:
        for ending in tables.FORMATS:
            shown = upload(desk, name, taken(desk, name, ending), f"x.{ending}")
            assert "nothing would change" in shown.content.decode(), (name, ending)
    assert "'=HYPERLINK" in taken(desk, "models")
    assert "'" not in json.loads(taken(desk, "models", "json"))[0]["display_name"][:1]
    everything = upload(desk, "everything", taken(desk, "everything", "yaml"), "weir.yaml")
    assert "nothing would change" in everything.content.decode()


def test_the_difference_is_shown_row_by_row_and_made_when_it_was_seen(desk, deployment):
    text = edited(taken(desk, "deployments"), priority="7", max_concurrency="5")
    before = Record.objects.count()
    shown = upload(desk, "deployments", text)
    assert shown.context["outcome"].changes[0].differences == (
        ("priority", "0", "7"),
        ("max_concurrency", "nothing", "5"),
    )
    assert Record.objects.count() == before
    assert "Brought in: 1 changes." in confirm(desk, shown).content.decode()
    deployment.refresh_from_db()
    assert (deployment.priority, deployment.max_concurrency) == (7, 5)
    assert Record.objects.latest("pk").actor_id == desk.user.pk


def test_what_changed_after_it_was_shown_is_shown_again(desk, deployment):
    shown = upload(desk, "deployments", edited(taken(desk, "deployments"), priority="7"))
    Deployment.objects.update(priority=3)
    again = confirm(desk, shown)
    assert "changed meanwhile" in again.content.decode()
    deployment.refresh_from_db()
    assert deployment.priority == 3


def test_prices_are_dollars_per_million_and_never_overwritten(desk, deployment):
    text = taken(desk, "prices")
    (row,) = csv.DictReader(io.StringIO(text))
    assert (Decimal(row["input"]), Decimal(row["output"])) == (3, 15)
    coming = timezone.now().replace(year=timezone.now().year + 1).isoformat()
    confirm(desk, upload(desk, "prices", edited(text, input="2.5", **{"from": coming})))
    assert sorted(Price.objects.values_list("input", flat=True)) == [2_500_000_000, 3_000_000_000]
    old = Price.objects.order_by("pk").first()
    confirm(desk, upload(desk, "prices", edited(text, input="4")))
    old.refresh_from_db()
    assert old.input == 3_000_000_000
    assert Price.objects.count() == 3
    assert Record.objects.filter(action="price.corrected").count() == 1


@pytest.mark.once
def test_a_new_model_and_where_it_is_served_come_as_two_files(desk):
    factories.provider("P")
    confirm(desk, upload(desk, "models", 'name,aliases\nnew,"x, y"\n'))
    confirm(desk, upload(desk, "deployments", "model,provider,upstream_model\nnew,P,u\n"))
    assert Model.objects.get().aliases == ["x", "y"]
    assert Deployment.objects.get().upstream_model == "u"


@pytest.mark.once
@pytest.mark.parametrize(
    ("what", "text", "told"),
    [
        ("models", "name,colour\nm,red\n", "line 1: There is no column “colour”"),
        ("models", "name,name\nm,m\n", "line 1: The column “name” is there twice"),
        ("models", "name,context_tokens\nm,many\n", "line 2: context_tokens: “many” is not"),
        ("models", "name,is_enabled\nok,true\nm,perhaps\n", "line 3: is_enabled: “perhaps” is not"),
        ("models", "name,context_tokens\nm,\n", "line 2: context_tokens: a whole number is expected"),
        ("models", "name\nm,n\n", "line 2: There are 2 cells under 1 headings"),
        ("models", 'name\n"m\n', "This is no CSV"),
        ("models", "name\nm\nm\n", "line 3: The model “m” is given twice"),
        ("deployments", "model,provider,upstream_model\ngone,P,u\n", "line 2: model: there is no model “gone”"),
        ("prices", "model,provider,upstream_model,from,input,output\nm,P,x,2026-01-01T00:00:00Z,1,1\n", "not deployed"),
        (
            "prices",
            "model,provider,upstream_model,from,input,output\nm,P,up,2026-01-01,1,1\n",
            "a moment with its offset",
        ),
        (
            "prices",
            "model,provider,upstream_model,from,input,output\nm,P,up,2026-01-01T00:00:00Z,-1,1\n",
            "line 2: input",
        ),
        (
            "prices",
            "model,provider,upstream_model,from,input,output\nm,P,up,2026-01-01T00:00:00Z,NaN,1\n",
            "input: “NaN”",
        ),
        (
            "prices",
            "model,provider,upstream_model,from,input,output\nm,P,up,2026-01-01T00:00:00Z,1e99,1\n",
            "more than can",
        ),
    ],
)
def test_what_cannot_be_is_told_by_row_and_column_and_nothing_is_done(desk, deployment, what, text, told):
    before = Record.objects.count()
    answer = upload(desk, what, text)
    assert told in " ".join(answer.context["refusals"]), answer.context["refusals"]
    assert Record.objects.count() == before


@pytest.mark.once
def test_one_row_that_cannot_be_keeps_all_back(desk):
    answer = upload(desk, "models", "name,strategy\ngood,fastest\nbad,dice\n")
    assert answer.context["refusals"] == ("line 3: strategy: Value 'dice' is not a valid choice.",)
    assert not Model.objects.exists()


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "content"),
    [("x.xlsx", b"PK"), ("x.csv", b"\xff\xfe\x00"), ("x", b"name\n"), ("x.csv", b"x" * 1_000_001), ("x.yaml", b"a: 1")],
)
def test_no_such_file_is_told_at_its_field(desk, name, content):
    answer = upload(desk, "models", content, name)
    assert list(answer.context["form"].errors) == ["file"]


@pytest.mark.once
def test_json_that_is_none_is_refused():
    for text in ("{", "{}", "[1]", '[{"name": "a", "name": "b"}]', "[" * 10_000):
        with pytest.raises(Refused):
            tables.bring_in("models", text, form="json", actor=None)


@pytest.mark.once
def test_who_may_do_what(deployment):
    stranger, viewer = Desk(factories.staff()), Desk(factories.staff("catalog.view_model"))
    assert stranger.get("transfer").status_code == 403
    assert stranger.get("transfer_file", "models", "csv").status_code == 403
    page = viewer.text("transfer")
    assert viewer.url("transfer_file", "models", "csv") in page
    assert viewer.url("transfer_file", "prices", "csv") not in page
    assert 'type="file"' not in page
    assert viewer.get("transfer_file", "models", "csv").status_code == 200
    for name in ("prices", "everything"):
        assert viewer.get("transfer_file", name, "yaml" if name == "everything" else "csv").status_code == 403
    answer = upload(viewer, "models", "name\nnew\n")
    assert list(answer.context["form"].errors) == ["what"]
    clerk = Desk(factories.staff("catalog.view_price", "catalog.add_price", "catalog.change_price"))
    assert 'type="file"' in clerk.text("transfer")
    for name, ending in (("models", "exe"), ("keys", "csv"), ("everything", "csv")):
        assert clerk.get("transfer_file", name, ending).status_code == 404
