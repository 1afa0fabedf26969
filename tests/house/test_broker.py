"""Celery's broker without a server: nobody ever reads half a message."""

from __future__ import annotations

import subprocess
import sys
import time
from queue import Empty

import pytest
from kombu import Connection

from tests.architecture import tree

BROKER = "gateway_site.broker:Transport"

WRITER = """
import sys
from kombu import Connection
folders = {name: sys.argv[1] for name in ("data_folder_in", "data_folder_out", "control_folder")}
with Connection("filesystem://", transport=sys.argv[2], transport_options=folders) as connection:
    connection.channel()._put("q", {"body": "x" * 30_000_000})
"""


@pytest.fixture
def channel(tmp_path):
    folders = {name: str(tmp_path) for name in ("data_folder_in", "data_folder_out", "control_folder")}
    with Connection("filesystem://", transport=BROKER, transport_options=folders) as connection:
        yield connection.channel()


def read(channel) -> dict:
    while True:
        try:
            return channel._get("q")
        except Empty:
            continue


def test_a_reader_in_a_hurry_gets_the_whole_message(channel, tmp_path):
    """So large that one written in place is caught half-written; kombu's own transport fails this."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), BROKER], cwd=tree.ROOT):
        assert len(read(channel)["body"]) == 30_000_000


def test_messages_are_read_in_the_order_they_were_put(channel):
    for number in range(20):
        channel._put("q", {"number": number})
    channel._put("other", {"number": -1})
    assert [read(channel)["number"] for _ in range(20)] == list(range(20))
    with pytest.raises(Empty):
        channel._get("q")


def test_a_worker_that_waits_for_messages_soon_sees_that_it_shall_stop(channel):
    """kombu's own transport would come back after the whole timeout, and Celery's is two seconds."""
    channel.basic_consume("q", no_ack=True, callback=print, consumer_tag="tag")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        channel.connection.drain_events(channel.connection, timeout=30)
    assert time.monotonic() - began < 15
