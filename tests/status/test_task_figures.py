"""What a worker's children do is told by the worker itself, at WEIR_PROBE_PORT."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from django.conf import settings as django_settings
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import ROOT, start_process, until
from tests.services import free_port

pytestmark = pytest.mark.once

GOOD, BAD = "celery.backend_cleanup", "apps.quotas.tasks.expire_increases"  # which finds no database
SEND = f"from gateway_site.celery import app; app.send_task({GOOD!r}); app.send_task({BAD!r})"


def test_what_the_children_do_is_told_by_the_worker(tmp_path: Path) -> None:
    port = free_port()
    surroundings = {
        **{"WEIR_VAR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": "", "CELERY_BROKER_URL": ""},
        **{"WEIR_PROBE_PORT": str(port), "DJANGO_SETTINGS_MODULE": "gateway_site.settings"},
        "WEIR_OPERATOR_TOKEN": django_settings.WEIR_OPERATOR_TOKEN,
    }
    subprocess.run([sys.executable, "-c", SEND], cwd=ROOT, env={**os.environ, **surroundings}, check=True)
    command = [sys.executable, "-m", "gateway_site.worker", "--concurrency", "1"]
    worker = start_process(command, ready=re.compile(r"(celery@\S+ ready)"), log=tmp_path / "log", env=surroundings)
    try:
        told = until(lambda: ended(f"http://127.0.0.1:{port}/metrics"))
    finally:
        worker.stop()
    assert told["weir_tasks_total", GOOD, "success"] == told["weir_tasks_total", BAD, "failure"] == 1
    assert told["weir_task_duration_seconds_count", GOOD, ""] == 1
    assert told["weir_task_queue_seconds_count", GOOD, ""] == 1
    assert told["weir_task_last_success_timestamp_seconds", GOOD, ""] > 0
    assert ("weir_task_last_success_timestamp_seconds", BAD, "") not in told
    assert told["weir_tasks_running", "", ""] == 0
    assert told["weir_tasks_waiting", "", ""] == 0


def ended(url: str) -> dict[tuple[str, str, str], float]:
    """By name, task and outcome, once both have come to an end."""
    try:
        text = httpx2.get(url, headers={"authorization": f"Bearer {django_settings.WEIR_OPERATOR_TOKEN}"}).text
    except httpx2.TransportError:
        return {}
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    told = {(s.name, s.labels.get("task", ""), s.labels.get("outcome", "")): s.value for s in samples}
    is_over = sum(value for (name, *_), value in told.items() if name == "weir_tasks_total") == 2
    return told if is_over and told.get(("weir_tasks_running", "", "")) == 0 else {}
