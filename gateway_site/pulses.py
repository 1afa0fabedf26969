"""How a worker or beat shows that it does its work: what notes its pulse, and the port on which it is asked for health
and figures (WEIR_PROBE_PORT)."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from apps.runtime.state import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

NOTE_SECONDS = 5.0


def main(role: str, arguments: Sequence[str]) -> int:
    """Runs one of Celery's commands, `worker` or `beat`, with its own options. Returns the status to end with."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
        state.role = role
        listener = _listener()
        if role == "worker":
            _check_keyring()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"gateway_site.{role}: {error}\n")
        return 1
    from gateway_site.celery import app

    (_watch_worker if role == "worker" else _watch_beat)(app, listener)
    try:
        app.start([role, "--loglevel", "INFO", *arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _check_keyring() -> None:
    """A worker opens secrets. Raises ImproperlyConfigured under a keyring that is not this database's; where that is
    away, there is nothing to be opened either, and tasks tell."""
    from django.db import DatabaseError, connections

    from apps.catalog import canary

    try:
        with contextlib.suppress(DatabaseError):
            canary.verify()
    finally:
        connections.close_all()  # not for the children


def _watch_worker(app: Celery, listener: socket.socket | None) -> None:
    from celery import bootsteps, signals

    class Probes(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """Behind the pool: its processes are made before there is a thread whose locks they would inherit."""

        requires = ("celery.worker.components:Pool",)

        def start(self, worker: Any) -> None:
            _answer(listener)

    class Pulse(bootsteps.StartStopStep):  # type: ignore[misc]
        """While tasks are taken. A lost broker stops it, and starts it when it is back."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            state.consuming = True
            note()
            self.timer = consumer.timer.call_repeatedly(NOTE_SECONDS, note)

        def stop(self, consumer: Any) -> None:
            state.consuming = False
            self.timer.cancel()

        shutdown = stop

    app.steps["worker"].add(Probes)
    app.steps["consumer"].add(Pulse)
    signals.worker_shutting_down.connect(_leave, weak=False)


def _watch_beat(app: Celery, listener: socket.socket | None) -> None:
    from celery import signals

    def begin(sender: Any, **_: Any) -> None:
        scheduler, tick = sender.scheduler, sender.scheduler.tick

        def noted(*arguments: Any, **named: Any) -> Any:
            waits = tick(*arguments, **named)
            note()
            return waits

        scheduler.tick = noted
        _answer(listener)

    signals.beat_init.connect(begin, weak=False)


def note() -> None:
    """It is at work, now."""
    state.pulse_at = time.monotonic()


def _leave(**_: Any) -> None:
    state.begin_drain()


def _listener() -> socket.socket | None:
    """Of all addresses, as a kubelet asks by the pod's. Raises ImproperlyConfigured where the port is another's."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    port = settings.WEIR_PROBE_PORT
    if not port:
        return None
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise ImproperlyConfigured(f"WEIR_PROBE_PORT: {port} cannot be listened on ({why}): choose another.") from None


def _answer(listener: socket.socket | None) -> None:
    """In a thread of its own. The process does not wait for it."""
    if listener is None:
        return
    from uvicorn.config import Config
    from uvicorn.server import Server

    from apps.status import exposition
    from apps.status.probes import telling

    exposition.begin()
    options: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    server = Server(Config(telling, lifespan="off", http="h11", ws="none", **options))
    threading.Thread(target=_serve, args=[server, listener], name="probes", daemon=True).start()


def _serve(server: Any, listener: socket.socket) -> None:
    try:
        with contextlib.closing(listener):
            server.run(sockets=[listener])
    except Exception:
        logging.getLogger(__name__).exception("nobody answers at WEIR_PROBE_PORT any more")
