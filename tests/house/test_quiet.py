"""A real worker and beat would log a chore that runs each second three times a second."""

from __future__ import annotations

import logging

import pytest
from celery.app.trace import LOG_SUCCESS
from celery.app.trace import info as tell

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
