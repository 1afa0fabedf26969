"""Events to a webhook: signed, in their order, as few twice as can be, and nowhere they must not go."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.events.sinks import webhook
from apps.events.sinks.contract import HELD, TAKEN, Fate, Opened, SinkAway, SinkGone
from apps.outbound import webhooks
from tests.control import receivers
from tests.control.receivers import saying
from tests.deploy import tools
from tests.outbound.published import message

LOCAL = ("127.0.0.0/8",)
SECRET = webhooks.new_secret()


@pytest.fixture
def hook():
    with receivers.receiver() as found:
        yield found


def sender(hook, *, at_once=1, secret=SECRET, networks=LOCAL, url=""):
    return webhook.open(Opened(1, url or hook.url, {"at_once": at_once}, secret, networks))


def fates(results):
    return [result.fate for result in results]


def ids(heard):
    told = json.loads(heard.body)
    return [each["data"]["key_id"] for each in (told if isinstance(told, list) else [told])]


def is_signed(heard, secret):
    at = datetime.datetime.fromtimestamp(int(heard.headers["webhook-timestamp"]), datetime.UTC)
    key = webhooks.key_of(secret)
    mark = webhooks.signed(heard.headers["webhook-id"], heard.body, keys=[key], now=at)["webhook-signature"]
    return mark in heard.headers["webhook-signature"].split(" ")


def said(language):
    """What docs/events.md tells receivers to do, in that language."""
    page = (Path(__file__).resolve().parents[2] / "docs/events.md").read_text(encoding="utf-8")
    return page.partition(f"```{language}\n")[2].partition("```")[0]


def test_receivers_can_check_it_by_hand_as_the_docs_say(hook):
    sender(hook).deliver([message(1)])
    (heard,) = hook.heard
    known: dict[str, Any] = {}
    exec(said("python"), known)  # it is ours
    assert known["is_ours"](SECRET, heard.headers, heard.body)
    assert not known["is_ours"](SECRET, heard.headers, heard.body + b" ")
    assert not known["is_ours"](webhooks.new_secret(), heard.headers, heard.body)
    assert not known["is_ours"](SECRET, heard.headers | {"webhook-timestamp": "1"}, heard.body)


def test_in_node_too(hook, tmp_path):
    sender(hook).deliver([message(1)])
    (heard,) = hook.heard
    asked = json.dumps([heard.headers, heard.body.decode()])
    calls = f"""const [headers, text] = {asked};
    for (const [secret, body] of [["{SECRET}", text], ["{SECRET}", text + " "], ["{webhooks.new_secret()}", text]])
      console.log(isOurs(secret, headers, Buffer.from(body)));"""
    (tmp_path / "check.mjs").write_text(said("javascript") + calls, encoding="utf-8")
    found = tools.run("node", tmp_path / "check.mjs", timeout=60)
    assert (found.status, found.text.split()) == (0, ["true", "false", "false"])


def test_one_event_a_request_as_the_official_sdk_reads_it(hook):
    sent = message(1, name="a “b”")
    assert sender(hook).deliver([sent]) == [TAKEN]
    (heard,) = hook.heard
    assert heard.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert heard.headers["webhook-id"] == sent.id
    assert is_signed(heard, SECRET)
    read = http.from_http(http.HTTPMessage(heard.headers, heard.body), JSONFormat())
    assert (read.get_id(), read.get_type(), read.get_subject()) == (sent.id, "weir.key.created.v1", "key:1")
    assert read.get_data() == {"key_id": 1, "name": "a “b”"}


def test_several_a_request_and_the_same_ones_under_the_same_id(hook):
    batch = [message(number, stream=number % 2) for number in range(5)]
    for _ in range(2):
        assert sender(hook, at_once=3).deliver(batch) == [TAKEN] * 5
    assert [ids(heard) for heard in hook.heard] == [[0, 1, 2], [3, 4]] * 2
    names = [heard.headers["webhook-id"] for heard in hook.heard]
    assert names[:2] == names[2:]
    assert names[0] != names[1]
    assert {heard.headers["content-type"] for heard in hook.heard} == {webhook.BATCH_TYPE}
    assert all(is_signed(heard, SECRET) for heard in hook.heard)


def test_while_a_secret_is_rotated_both_sign_and_afterwards_the_new_one_alone(hook):
    now = timezone.now()
    new, stored = webhook.rotated(SECRET, now=now)
    sender(hook, secret=stored).deliver([message(1)])
    assert [is_signed(hook.heard[0], secret) for secret in (new, SECRET)] == [True, True]
    assert len(webhook.keys_of(stored, now=now + webhook.OVERLAP)) == 1
    newer, again = webhook.rotated(stored, now=now)
    assert webhook.keys_of(again, now=now) == [webhooks.key_of(newer), webhooks.key_of(new)]
    assert webhook.keys_of(again, now=now + webhook.OVERLAP) == [webhooks.key_of(newer)]


@pytest.mark.parametrize("at_once", [1, 8])
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_one_that_is_not_taken_holds_up_its_tenant_alone(hook, at_once, status):
    hook.judge = lambda heard: status if 2 in ids(heard) else 204
    batch = [message(1), message(2), message(3), message(4, stream=2), message(5)]
    found = sender(hook, at_once=at_once).deliver(batch)
    assert fates(found) == [Fate.TAKEN, Fate.AGAIN, Fate.HELD, Fate.TAKEN, Fate.HELD]
    assert found[1].told == f"answered {status}"
    taken = [
        number for heard in hook.heard if not hook.judge(heard) or hook.judge(heard) == 204 for number in ids(heard)
    ]
    assert sorted(taken) == [1, 4], "and each of them once"


@pytest.mark.parametrize("at_once", [1, 8])
def test_gone_is_about_all_events_and_no_other_is_sent(hook, at_once):
    hook.statuses = [410, 410]
    with pytest.raises(SinkGone, match="answered 410: it wants nothing any more"):
        sender(hook, at_once=at_once).deliver([message(1), message(2)])
    assert len(hook.heard) == 1


@pytest.mark.parametrize(
    "said",
    [
        "content-length: 900000\r\n\r\nand it goes on and on",
        "content-encoding: gzip\r\ncontent-length: 3\r\n\r\nxyz",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_its_status_says_it_all_whatever_else_it_says(said):
    with saying(f"HTTP/1.1 200 OK\r\n{said}") as hook:
        assert sender(hook).deliver([message(1)]) == [TAKEN]


def test_what_there_was_no_time_for_counts_against_no_event(hook, monkeypatch):
    monkeypatch.setattr(webhook, "SECONDS", webhook.SPARE_SECONDS)
    assert sender(hook).deliver([message(1), message(2)]) == [HELD, HELD]
    assert hook.heard == []


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 408, 429, 502, 503, 504])
def test_what_is_about_the_receiver_counts_against_no_event(hook, status):
    hook.statuses = [status] * 9
    with pytest.raises(SinkAway, match=f"answered {status}"):
        sender(hook).deliver([message(1), message(2), message(3, stream=2)])
    assert len(hook.heard) == 2, "the first of each tenant, and no redirect is followed"


def test_what_was_taken_before_the_receiver_went_away_is_not_sent_again(hook):
    hook.statuses = [204, 502]
    found = sender(hook).deliver([message(1), message(2), message(3)])
    assert found == [TAKEN, webhook.Result(Fate.AGAIN, "answered 502"), HELD]


@pytest.mark.parametrize("status", [429, 503])
def test_nor_what_was_taken_before_it_was_busy_which_counts_against_none(hook, status):
    hook.statuses, hook.retry_after = [204, status], "30"
    with pytest.raises(SinkAway, match=f"answered {status}") as away:
        sender(hook).deliver([message(1), message(2), message(3)])
    assert (away.value.results, away.value.after, away.value.is_busy) == ([TAKEN, HELD, HELD], 30, True)


@pytest.mark.parametrize(("asked", "seconds"), [("", 0), ("120", 120), ("999999", 3600), ("soon", 0), ("-5", 0)])
def test_a_receiver_may_say_how_long_it_wants_to_be_left_alone(hook, asked, seconds):
    hook.statuses, hook.retry_after = [429], asked
    with pytest.raises(SinkAway) as away:
        sender(hook).deliver([message(1)])
    assert away.value.after == seconds


def test_or_until_when():
    now = datetime.datetime(2026, 11, 23, 0, 0, tzinfo=datetime.UTC)
    assert webhook.seconds_of("Mon, 23 Nov 2026 00:01:30 GMT", now=now) == 90
    assert webhook.seconds_of("Mon, 23 Nov 2026 00:01:30", now=now) == 0


def test_a_network_that_is_not_open_is_not_called(hook):
    with pytest.raises(SinkAway, match="address refused"):
        sender(hook, networks=()).deliver([message(1)])
    assert hook.heard == []


def test_where_nobody_listens_and_where_there_is_no_secret(hook):
    with pytest.raises(SinkAway, match="unreachable"):
        sender(hook, url="http://127.0.0.1:1/").deliver([message(1)])
    with pytest.raises(SinkAway, match="no secret"):
        sender(hook, secret="")


@pytest.mark.parametrize(
    ("target", "settings", "field"),
    [
        ("http://example.com/", {}, "target"),
        ("https://169.254.169.254/", {}, "target"),
        ("https://user:word@example.com/", {}, "target"),
        ("https://example.com/", {"at_once": 0}, "settings"),
        ("https://example.com/", {"at_once": True}, "settings"),
        ("https://example.com/", {"at_once": 51}, "settings"),
        ("https://example.com/", {"other": 1}, "settings"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(target, settings, field):
    with pytest.raises(ValidationError) as refused:
        webhook.clean(target, settings, networks=())
    assert [*refused.value.error_dict] == [field]
    assert webhook.clean("https://example.com/hook", {}, networks=()) == {"at_once": 1}
