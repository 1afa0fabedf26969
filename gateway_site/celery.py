"""The worker's application. Schedules are rows (django-celery-beat), editable in the admin."""

from __future__ import annotations

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from gateway_site import quiet, task_figures
from gateway_site.telemetry import tasks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")

TRANSPORT_ALIASES["amqps"] = "gateway_site.rabbitmq:Transport"

app = Celery("weir")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

task_figures.begin()
quiet.begin()
tasks.connect(app)
