"""The front door: the data plane's paths first, then the probes, as plain ASGI; everything else is Django's."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
django_application = get_asgi_application()

from apps.gateway import engine, routes  # noqa: E402  # after Django is set up
from apps.status import probes  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter([*routes.urlpatterns, *probes.urlpatterns, re_path(r"", django_application)]),
        "lifespan": engine.lifespan,
    }
)
