"""Sinks in the admin: made, tried, watched, paused and replayed there, and what they have not taken."""

from __future__ import annotations

import datetime
import json
import re
import socket

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork
from apps.events import carrying
from apps.events.models import Event, Sink, Undelivered
from tests import factories
from tests.control import events, receivers
from tests.control.desk import errors

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


@pytest.fixture
def hook(db):
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    with receivers.receiver() as found:
        yield found


@pytest.fixture
def sink(desk, hook):
    """All events, to the receiver."""
    desk.send("events_sink_add", name="Us", kind="webhook", target=hook.url)
    return Sink.objects.get()


def detail(desk, action, sink, **values):
    return desk.client.post(reverse(f"admin:events_sink_{action}", args=[sink.pk]), values).content.decode()


def keys_of(hook):
    return [json.loads(heard.body)["data"]["key"]["name"] for heard in hook.heard]


def test_a_webhook_is_made_its_secret_shown_once_and_rotated(desk, hook):
    made = desk.send("events_sink_add", name="Us", kind="webhook", target=hook.url, kinds=["key.created"], at_once="5")
    first = SECRET.search(made.content.decode())
    assert first is not None
    assert "no-store" in made["Cache-Control"]
    sink = Sink.objects.get()
    assert (sink.kinds, sink.settings) == ("key.created", {"at_once": 5})
    assert not SECRET.search(desk.text("events_sink_change", sink.pk))
    second = SECRET.search(detail(desk, "rotate", sink))
    assert second is not None
    detail(desk, "send_test", sink)
    (heard,) = hook.heard
    assert len(heard.headers["webhook-signature"].split(" ")) == 2
    assert not [record for record in Record.objects.all() if "whsec_" in f"{record.before}{record.after}"]


def test_a_test_says_what_came_of_it_and_is_recorded(desk, hook, sink):
    page = reverse("admin:events_sink_send_test", args=[sink.pk])
    assert "weir.sink.test.v1" in desk.client.get(page).content.decode()
    assert hook.heard == [], "looking sends nothing"
    assert 'weir-step-good">It was taken.<' in detail(desk, "send_test", sink)
    hook.statuses = [403]
    assert "It was not taken: answered 403" in detail(desk, "send_test", sink)
    Sink.objects.update(target="https://nowhere.invalid/")
    assert "It was not taken: unreachable" in detail(desk, "send_test", sink)
    told = Record.objects.filter(action="sink.tested").order_by("pk").values_list("after", flat=True)
    assert [row["taken"] for row in told] == [True, False, False]
    assert not Event.objects.exists()


def test_a_broker_that_is_not_there_is_told_of_in_words(desk, hook):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        desk.send("events_sink_add", name="Us", kind="rabbitmq", target=f"amqp://guest@127.0.0.1:{port}/")
        told = detail(desk, "send_test", Sink.objects.get())
    assert re.search(r'weir-step-bad">It was not taken: [^<]* refused the connection<', told)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"exchange": "x", "declare": True, "mandatory": True, "ca": ""}, "a..b has no address"),
        ({"exchange": "x", "mandatory": True}, "it broke here: see the log"),
    ],
)
def test_what_was_stored_and_cannot_work_is_told_of_and_recorded(desk, sink, settings, why):
    Sink.objects.update(kind="rabbitmq", target="amqps://u@a..b/", settings=settings, sealed="")
    assert f"It was not taken: {why}" in detail(desk, "send_test", sink)
    (told,) = Record.objects.filter(action="sink.tested").values_list("after", flat=True)
    assert told == {"taken": False, "message": why}


def test_the_list_says_how_each_stands(desk, hook, sink, website):
    assert "delivering" in desk.text("events_sink_changelist")
    factories.key(website, name="One")
    events.run()
    assert keys_of(hook) == ["One"]
    assert "1 event so far" in desk.text("events_sink_changelist")
    hook.statuses = [503]
    factories.key(website, name="Two")
    events.run()
    page = desk.text("events_sink_change", sink.pk)
    assert "failing" in page
    assert "answered 503" in page
    desk.act("events_sink_changelist", "pause", sink)
    assert "paused" in desk.text("events_sink_changelist")
    desk.act("events_sink_changelist", "resume", sink)
    events.run()
    assert keys_of(hook) == ["One", "Two", "Two"]


def test_what_was_not_taken_in_the_end_is_sent_again_or_dropped(desk, hook, sink, website):
    hook.judge = lambda heard: 400
    factories.key(website, name="One")
    factories.key(website, name="Two")
    events.run()
    listed = desk.text("events_undelivered_changelist")
    assert re.search(r">held</span></div><div>with all later ones<", listed)
    assert "2 events not taken at first" in desk.text("events_sink_changelist")
    for _ in carrying.PAUSES:
        events.run()
    assert keys_of(hook) == ["One"] * 9 + ["Two"], "what follows is not tried as often for the same reason"
    del hook.heard[:]
    one, two = Undelivered.objects.order_by("position")
    assert ">2<" in desk.text("events_sink_changelist")
    listed = desk.text("events_undelivered_changelist")
    assert listed.count("answered 400") == 2
    assert "&quot;name&quot;: &quot;One&quot;" in desk.text("events_undelivered_change", one.pk)
    desk.act("events_undelivered_changelist", "send_again", one)
    desk.act("events_undelivered_changelist", "drop", two)
    hook.judge = lambda heard: 204
    events.run()
    assert keys_of(hook) == ["One"]
    assert not Undelivered.objects.exists()
    actions = set(Record.objects.filter(target_type="events.sink").values_list("action", flat=True))
    assert {"sink.letters_sent_again", "sink.letters_dropped"} <= actions


def test_a_receiver_that_wants_nothing_any_more_is_paused_and_says_so(desk, hook, sink, website):
    hook.judge = lambda heard: 410
    factories.key(website, name="One")
    factories.key(website, name="Two")
    events.run()
    events.run()
    assert keys_of(hook) == ["One"]
    found = Sink.objects.get()
    assert (found.is_enabled, found.kept_until is not None, Undelivered.objects.exists()) == (False, True, False)
    told = "It was paused: the receiver answered 410: it wants nothing any more"
    assert told in desk.text("events_sink_changelist")
    record = Record.objects.get(action="sink.retired")
    assert (record.actor_name, record.after) == ("system", {"message": told})
    hook.judge = lambda heard: 204
    desk.act("events_sink_changelist", "resume", sink)
    assert told not in desk.text("events_sink_changelist")
    events.run()
    assert keys_of(hook) == ["One", "One", "Two"]


def test_what_has_happened_since_goes_there_again(desk, hook, sink, website):
    before = timezone.now() - datetime.timedelta(minutes=1)
    factories.key(website, name="One")
    events.run()
    assert "That is yet to come" in detail(desk, "replay", sink, since_0="2199-01-01", since_1="00:00:00")
    since = {"since_0": f"{before:%Y-%m-%d}", "since_1": f"{before:%H:%M:%S}"}
    assert "1 event to be sent again" in detail(desk, "replay", sink, **since)
    events.run()
    first, second = hook.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert Record.objects.filter(action="sink.replayed").exists()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "webhook", "target": "http://169.254.169.254/"}, "target"),
        ({"kind": "webhook", "target": "https://example.com/", "at_once": "51"}, "at_once"),
        ({"kind": "rabbitmq", "target": "amqps://broker.example.com/", "exchange": "amq.topic"}, "exchange"),
        ({"kind": "rabbitmq", "target": "https://example.com/"}, "target"),
        ({"kind": "rabbitmq", "target": "amqps://u@a..b/"}, "target"),
        ({"kind": "rabbitmq", "target": "amqps://u@0x7f.1/"}, "target"),
        ({"kind": "pubsub", "target": "weir"}, "target"),
        ({"kind": "pubsub", "target": "projects/my-project/topics/weir", "endpoint": "example.com"}, "endpoint"),
        ({"kind": "pubsub", "target": "projects/my-project/topics/weir", "secret": "{}"}, "secret"),
        ({"kind": "file", "target": "/etc"}, "target"),
    ],
)
def test_what_cannot_be_is_told_at_its_field(desk, given, field):
    assert [*errors(desk.send("events_sink_add", name="Us", **given))] == [field]
    assert not Sink.objects.exists()


def test_each_kind_is_asked_for_what_it_needs_and_keeps_it(desk):
    desk.send("events_sink_add", name="Broker", kind="rabbitmq", target="amqps://broker.example.com/", secret="canary")
    sink = Sink.objects.get()
    assert sink.settings == {"exchange": "weir.events", "declare": True, "mandatory": True, "ca": ""}
    form = desk.form("events_sink_change", sink.pk)
    assert {"exchange", "declare", "mandatory", "ca", "secret"} <= form.keys()
    assert not {"at_once", "megabytes", "endpoint"} & form.keys()
    assert desk.send("events_sink_change", sink.pk, exchange="ours", declare=None).status_code == 302
    sealed, sink = sink.sealed, Sink.objects.get()
    assert (sink.settings["exchange"], sink.settings["declare"], sink.sealed) == ("ours", False, sealed)
    moved = desk.send("events_sink_change", sink.pk, target="amqps://elsewhere.example.com/")
    assert "meant for another place" in errors(moved)["secret"][0]
    pages = [desk.text("events_sink_change", sink.pk), desk.text("events_sink_history", sink.pk)]
    assert not [page for page in pages if "canary" in page]
    assert not [record for record in Record.objects.all() if "canary" in f"{record.before}{record.after}"]


def test_an_address_of_no_sink_is_not_found(desk, sink):
    for place in (f"{sink.pk}/send-test/", "x/rotate", "0/replay", f"{sink.pk}{sink.pk}/send_test"):
        answer = desk.client.get(f"/admin/events/sink/{place}", follow=True)
        assert answer.status_code in (200, 404), place  # or the list, with a word about it
