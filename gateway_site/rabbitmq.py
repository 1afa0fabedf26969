"""Celery's RabbitMQ by `amqps://`: believed by a certificate for its own name.

py-amqp compares no name unless it is told one: whoever has any certificate that the machine trusts would get the
password.
"""

from __future__ import annotations

import ssl
from typing import Any

from kombu.transport import pyamqp


class Transport(pyamqp.SSLTransport):
    def establish_connection(self) -> Any:
        """Of several brokers each is asked for its own name. `localhost` stays that, which kombu calls otherwise."""
        host = self.client.hostname or "localhost"
        self.client.ssl = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": host}
        try:
            return super().establish_connection()
        finally:
            self.client.hostname = host
