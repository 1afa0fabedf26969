"""A real worker and beat would log a chore that runs each second three times a second."""

from __future__ import annotations

import logging

import pytest
from celery.app.trace import LOG_SUCCESS
from celery.app.trace import info as tell
from celery.worker.consumer import consumer

from gateway_site import quiet


@pytest.mark.parametrize(("task", "lines"), [("apps.events.tasks.deliver", 0), ("apps.alerts.tasks.evaluate", 1)])
def test_what_runs_every_second_is_not_logged_each_time(caplog, task, lines):
    quiet.begin()
    with caplog.at_level(logging.INFO):
        tell(LOG_SUCCESS, {"id": "1", "name": task, "return_value": "0", "runtime": 0.1, "args": "", "kwargs": ""})
        logging.getLogger("celery.beat").info("Scheduler: Sending due task %s (%s)", "Its name", task)
        logging.getLogger("celery.worker.strategy").error("Task %s is broken", task, extra={"data": {"name": task}})
    assert [record.levelname for record in caplog.records].count("INFO") == 2 * lines
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


@pytest.mark.attack("F25")
@pytest.mark.parametrize(
    "format_", ["UNKNOWN_TASK_ERROR", "INVALID_TASK_ERROR", "UNKNOWN_FORMAT", "MESSAGE_DECODE_ERROR"]
)
def test_a_message_that_no_worker_can_do_anything_with_is_not_told(caplog, format_):
    quiet.begin()
    words = getattr(consumer, format_)
    consumer.error(words, *["quagga"] * words.count("%"))
    assert caplog.records
    assert caplog.text.count("quagga") <= 1  # its name, or what is wrong with it
    consumer.error(words, "no.such.task", *["quagga"] * (words.count("%") - 1))
    assert "quagga" not in caplog.records[-1].getMessage()


@pytest.mark.timeout(30)  # work that grows with the square of it would take minutes
def test_a_long_run_of_spaces_costs_no_more_than_its_length(caplog):
    quiet.begin()
    consumer.error("%s", " " * 300_000 + "The full contents of the message body was: quagga")
    assert caplog.records[-1].getMessage() == ""
