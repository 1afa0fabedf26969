"""RabbitMQ: a durable topic exchange, persistent messages, each confirmed by the broker.

The routing key is the tenant's short name and the type, as `acme.weir.usage.settled.v1`; of what belongs to no tenant
it begins with `-`. A batch is sent whole before the first confirmation is waited for. Where the broker does not take
one in the middle (a queue that is full and refuses), the later ones of its tenant are sent again after it: that alone
can make a queue's order another than that of `sequence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError

from apps.events.sinks.contract import CONTENT_TYPE, HELD, SECONDS, TAKEN, Fate, Message, Opened, Result, SinkAway
from apps.outbound import brokers

LABEL = "RabbitMQ"
BATCH = 200
SECRET = "password"  # noqa: S105  # what it is called
_DEFAULTS: dict[str, Any] = {"exchange": "weir.events", "declare": True, "mandatory": True, "ca": ""}
_MOST_NAME = 127
_CONFIRM_SECONDS = SECONDS - brokers.CONNECT_SECONDS


def clean(target: str, settings: Mapping[str, Any], *, networks: tuple[str, ...]) -> dict[str, Any]:
    """`exchange`; `declare`: make it where it is not there; `mandatory`: an event that no queue takes is tried again,
    and is a dead letter in the end; `ca`: PEM of the authorities that its certificate is trusted by."""
    try:
        brokers.check_host(brokers.parse(target))
    except ValueError as error:
        raise ValidationError({"target": str(error)}) from None
    if unknown := set(settings) - set(_DEFAULTS):
        raise ValidationError({"settings": f"There is no {min(unknown)!r}; there are {', '.join(_DEFAULTS)}."})
    found = _DEFAULTS | dict(settings)
    for name, default in _DEFAULTS.items():
        if type(found[name]) is not type(default):
            raise ValidationError({"settings": f"“{name}” is {'true or false' if default is True else 'a text'}."})
    if not 0 < len(found["exchange"].encode()) <= _MOST_NAME or found["exchange"].startswith("amq."):
        raise ValidationError({"settings": f"“exchange” is a name of up to {_MOST_NAME} characters, not one of amq.…"})
    return found


def binding(target: str, settings: Mapping[str, Any]) -> str:
    """The broker, and how it is known to be that one: whether it is encrypted, and whose word that is taken on."""
    return brokers.parse(target).bound(ca=settings.get("ca", ""))


def open(sink: Opened) -> RabbitMQ:
    return RabbitMQ(sink)


class RabbitMQ:
    def __init__(self, sink: Opened) -> None:
        """Raises SinkAway."""
        self._exchange, self._mandatory = sink.settings["exchange"], sink.settings["mandatory"]
        try:
            self._publisher = brokers.Publisher(
                brokers.parse(sink.target), password=sink.secret, networks=sink.networks, ca=sink.settings["ca"]
            )
        except brokers.BrokerAway as error:
            raise SinkAway(str(error)) from None
        if sink.settings["declare"]:
            self._declare()

    def _declare(self) -> None:
        try:
            self._publisher.declare(self._exchange)
        except brokers.BrokerAway as error:
            self.close()
            raise SinkAway(str(error)) from None

    def deliver(self, batch: Sequence[Message]) -> list[Result]:
        sent = [
            brokers.Publication(message.id, f"{message.tenant or '-'}.{message.type}", CONTENT_TYPE, message.body)
            for message in batch
        ]
        try:
            outcomes = self._publisher.publish(
                sent, exchange=self._exchange, mandatory=self._mandatory, seconds=_CONFIRM_SECONDS
            )
        except brokers.BrokerAway as error:
            raise SinkAway(f"the broker {error}") from None
        results, failed = [], set()
        for message, outcome in zip(batch, outcomes, strict=True):
            if message.stream in failed:
                results.append(HELD)
            elif outcome.why:
                failed.add(message.stream)
                results.append(Result(Fate.AGAIN, outcome.why))
            else:
                results.append(TAKEN)
        return results

    def close(self) -> None:
        self._publisher.close()
