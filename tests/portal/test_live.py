"""Live pages: who may open them, and what a frame says. Their sockets: tests/gateway/test_live.py."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from msgspec.structs import replace

from apps.catalog import answering
from apps.domain.tokens import TokenUsage
from apps.portal import feed, hub
from apps.portal.feed import Subject
from apps.usage import ledger
from tests import factories
from tests.money.calls import intent, outcome

LATER = 2.0  # seconds: what is settled by then is of a second that is over


@pytest.fixture(autouse=True)
def _nothing_shared() -> None:
    feed._shared.clear()


def call(project, user=None, **fields):
    said = outcome(
        intent(tenant_id=project.tenant_id, project_id=project.pk, user_id=None if user is None else user.pk),
        **{"cost": 2_000_000} | fields,
    )
    ledger.post([said])
    return said


def seen(subject: Subject, reader: feed.Reader | None = None) -> dict:
    return json.loads((reader or feed.Reader()).read([subject], now=time.time() + LATER)[subject])


def sums(frame: dict) -> list[int]:
    """Calls, errors, cost."""
    return [sum(row[column] for row in frame["seconds"]) for column in (1, 2, 3)]


# --- pages -------------------------------------------------------------------------------------------------------


def test_members_see_their_tenants_calls_and_developers_their_own(visit, alice, bob, vera, acme):
    assert "What everybody in Acme calls" in visit(alice).text("live")
    assert visit(vera).get("live-who").json() == {"visitor": str(vera.pk), "tenant": acme.pk, "user": None}
    assert "Your calls" in visit(bob).text("live")
    assert visit(bob).get("live-who").json() == {"visitor": str(bob.pk), "tenant": acme.pk, "user": bob.pk}


@pytest.mark.parametrize("page", ["live", "live-who", "live-now"])
def test_to_others_there_is_no_such_page(visit, page, charlie, acme):
    assert visit(charlie).get(page).status_code == 404
    assert visit(None).get(page).status_code == 302
    assert visit(charlie).post(page).status_code == 405


@pytest.mark.parametrize("path", ["/live/", "/live/who/", "/live/now/"])
def test_over_all_looks_whoever_may_read_the_whole_ledger(visit, path, alice, operator, acme):
    staff = factories.staff("usage.view_entry")
    assert visit(operator).client.get(path).status_code == 200
    assert visit(staff).client.get(path).status_code == 200
    for other in (alice, factories.staff("catalog.view_model")):
        assert visit(other).client.get(path).status_code == 403
    assert visit(None).client.get(path).status_code == 302


def test_without_a_socket_the_page_asks_now_and_then(visit, alice, website):
    call(website, alice)
    mine = visit(alice)
    first = mine.get("live-now")
    assert first["Cache-Control"] == "no-store"
    assert [told["who"] for told in first.json()["calls"]] == ["alice"]
    call(website, alice)
    assert mine.get("live-now").json() == first.json(), "however many ask, the ledger is asked every other second"


# --- frames ------------------------------------------------------------------------------------------------------


def test_a_frame_adds_up_what_its_subject_may_see(acme, globex, website, alice, bob, charlie):
    theirs = factories.project(globex)
    call(website, alice)
    call(website, bob, status="upstream_error", http_status=500, cost=0)
    call(website)
    call(theirs, charlie, cost=5)
    assert sums(seen(Subject(acme.pk))) == [3, 1, 4_000_000]
    assert sums(seen(Subject(acme.pk, bob.pk))) == [1, 1, 0]
    assert sums(seen(Subject(globex.pk))) == [1, 0, 5]
    assert sums(seen(Subject())) == [4, 1, 4_000_005]
    assert {told["tenant"] for told in seen(Subject())["calls"]} == {"Acme", "Globex"}


def test_frames_cost_no_more_questions_than_there_is_news(acme, globex, alice, website, django_assert_num_queries):
    subjects = [Subject(), Subject(acme.pk), Subject(acme.pk, alice.pk), Subject(globex.pk)]
    reader = feed.Reader()
    reader.read(subjects, now=time.time())
    with django_assert_num_queries(4):
        reader.read(subjects, now=time.time())
    call(website, alice)
    with django_assert_num_queries(4 + 3):
        frames = reader.read(subjects, now=time.time())
    assert [sums(json.loads(frames[subject]))[0] for subject in subjects] == [1, 1, 1, 0]


def test_what_comes_late_to_its_second_is_counted_with_it(acme, website):
    reader = feed.Reader()
    for count in (1, 2, 3):
        call(website)
        assert sums(seen(Subject(acme.pk), reader))[0] == count


def test_a_correction_is_money_and_no_call(acme, website):
    doubt = call(website, state="unconfirmed", status="interrupted", usage=TokenUsage(), usage_source="none", cost=700)
    ledger.post([replace(doubt, state="settled", status="ok", cost=900, usage=TokenUsage(in_fresh=1))])
    frame = seen(Subject(acme.pk))
    assert (sums(frame)[0], sums(frame)[2], len(frame["calls"])) == (1, 900, 1)


def test_what_is_older_than_the_window_goes(acme, website):
    reader = feed.Reader()
    call(website)
    assert sums(seen(Subject(acme.pk), reader))[0] == 1
    later = json.loads(reader.read([Subject(acme.pk)], now=time.time() + feed.WINDOW + 5)[Subject(acme.pk)])
    assert later["seconds"] == []
    assert len(later["calls"]) == 1


def test_names_that_mean_harm_stay_text(acme, website):
    rascal = factories.member(acme)
    rascal.first_name = "</script><script>alert(1)"
    rascal.save()
    call(website, rascal)
    assert seen(Subject(acme.pk))["calls"][0]["who"] == "</script><script>alert(1)"


def test_whose_breakers_they_are(acme, globex):
    shared, theirs = factories.deployment(factories.model("sonnet")), factories.deployment(factories.model("opus"))
    factories.credential(theirs.provider, tenant=globex)
    mine = answering.ways_of(acme.pk)
    assert mine == {shared.pk: ("sonnet", shared.provider.name)}
    assert set(answering.ways_of(globex.pk)) == set(answering.ways_of(None)) == {shared.pk, theirs.pk}


# --- who reads slowly --------------------------------------------------------------------------------------------


def test_whoever_reads_slowly_gets_the_newest_frame_only():
    async def look() -> list[str | None]:
        async def still_there() -> Subject | None:
            return Subject()

        watcher = hub.Watcher(Subject(), visitor="1", review=still_there)
        for frame in ("first", "second", "third"):
            watcher.tell(frame)
        found = [await watcher.next()]
        watcher.tell("fourth")
        watcher.end()
        return [*found, await watcher.next()]

    assert asyncio.run(look()) == ["third", None]
