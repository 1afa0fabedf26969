"""Events to a topic of Google Cloud Pub/Sub, in the binary mode of its CloudEvents binding.

The ordering key is the tenant's, so that subscriptions with ordering keep each tenant's order; one request has one key.
Needs the extra `pubsub`, which is imported when a sink is opened.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from django.conf import settings as site
from django.core.exceptions import ValidationError

from apps.events.sinks.contract import (
    CONTENT_TYPE,
    HELD,
    SECONDS,
    SPARE_SECONDS,
    TAKEN,
    Fate,
    Message,
    Opened,
    Result,
    SinkAway,
    by_stream,
)

LABEL = "Google Pub/Sub"
BATCH = 200
SECRET = "service account's key"  # noqa: S105  # what it is called
EXTRA = "Google Pub/Sub needs the extra “pubsub”: pip install -r requirements/pubsub.txt"
TOPIC = re.compile(r"projects/[a-z][a-z0-9.:-]{4,128}/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_ENDPOINT = re.compile(r"([a-z0-9-]+-)?pubsub\.googleapis\.com(:443)?")
_TOKENS = ("https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token")
_EACH_SECONDS = 8.0  # a request
_LANES = 8  # tenants whose events are sent at one time: its client is for many threads
_SCOPE = "https://www.googleapis.com/auth/pubsub"
_NO_PROXY = ("grpc.enable_http_proxy", 0)  # the environment's
_DEFAULTS: Mapping[str, Any] = {"endpoint": "", "structured": False}


def clean(target: str, settings: Mapping[str, Any], *, networks: tuple[str, ...]) -> dict[str, Any]:
    if not TOPIC.fullmatch(target):
        raise ValidationError({"target": "A topic is written like projects/my-project/topics/my-topic."})
    if unknown := set(settings) - set(_DEFAULTS):
        raise ValidationError({"settings": f"There is no {min(unknown)!r}; there are {', '.join(_DEFAULTS)}."})
    found = {**_DEFAULTS, **settings}
    if not isinstance(found["endpoint"], str) or not (not found["endpoint"] or _ENDPOINT.fullmatch(found["endpoint"])):
        raise ValidationError({"settings": "“endpoint” is empty, or like europe-west1-pubsub.googleapis.com."})
    if not isinstance(found["structured"], bool):
        raise ValidationError({"settings": "“structured” is true or false."})
    return found


def binding(target: str, settings: Mapping[str, Any]) -> str:
    """Google, whichever topic of its that is."""
    return "pubsub"


def clean_secret(secret: str) -> str:
    """Raises ValueError, which repeats nothing of it."""
    try:
        found = json.loads(secret)
        is_one = found["type"] == "service_account" and bool(found["client_email"]) and bool(found["private_key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        is_one = False
    if not is_one:
        raise ValueError("It is the JSON of a service account's key, as Google gives it.")
    if found.get("token_uri", _TOKENS[0]) not in _TOKENS:
        raise ValueError("Its token_uri is not Google's.")
    return secret


def open(sink: Opened) -> Sender:
    try:
        import grpc
        from google.api_core import exceptions
        from google.auth import exceptions as refusals
        from google.pubsub_v1 import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    except ImportError:
        raise SinkAway(EXTRA) from None

    def direct(*whom: Any, options: Sequence[tuple[str, Any]] = (), **how: Any) -> Any:
        return PublisherGrpcTransport.create_channel(*whom, options=[*options, _NO_PROXY], **how)

    if site.PUBSUB_EMULATOR_HOST:
        channel = grpc.insecure_channel(site.PUBSUB_EMULATOR_HOST, options=[_NO_PROXY])
        return Sender(sink, PublisherClient(transport=PublisherGrpcTransport(channel=channel)), exceptions, refusals)
    options = {"api_endpoint": sink.settings["endpoint"]} if sink.settings.get("endpoint") else {}
    try:
        client = PublisherClient(
            credentials=_credentials(sink.secret),
            client_options=options,
            transport=lambda **how: PublisherGrpcTransport(**how, channel=direct),
        )
    except (refusals.GoogleAuthError, ValueError):
        raise SinkAway("its credentials cannot be used, or this machine has none") from None
    return Sender(sink, client, exceptions, refusals)


def _credentials(secret: str) -> Any:
    """None: those of the machine. Raises ValueError."""
    if not secret:
        return None
    from google.oauth2 import service_account

    return service_account.Credentials.from_service_account_info(json.loads(secret), scopes=[_SCOPE])  # type: ignore[no-untyped-call]


class Sender:
    def __init__(self, sink: Opened, client: Any, exceptions: Any, refusals: Any) -> None:
        self._topic, self._client = sink.target, client
        self._is_structured = bool(sink.settings.get("structured"))
        self._exceptions, self._refusals = exceptions, refusals

    def deliver(self, batch: Sequence[Message]) -> list[Result]:
        """Raises SinkAway where nothing was taken, and where it is busy."""
        until = time.monotonic() + SECONDS - SPARE_SECONDS
        away: list[SinkAway] = []
        groups = by_stream(batch)

        def lane(group: Sequence[Message]) -> dict[str, Result]:
            if away:
                return dict.fromkeys(_ids(group), HELD)
            try:
                return self._publish(group, until=until)
            except SinkAway as error:
                away.append(error)
                return dict(zip(_ids(group), error.results or _left(group, error), strict=True))

        with ThreadPoolExecutor(max_workers=min(_LANES, len(groups)), thread_name_prefix="pubsub") as threads:
            results = {name: result for found in threads.map(lane, groups) for name, result in found.items()}
        told = [results[message.id] for message in batch]
        if away and TAKEN not in told:
            raise SinkAway(str(away[0]), is_busy=away[0].is_busy)
        if busy := [error for error in away if error.is_busy]:
            raise SinkAway(str(busy[0]), is_busy=True, results=told)
        return told

    def _publish(self, group: Sequence[Message], *, until: float) -> dict[str, Result]:
        """A request is taken whole or not at all: one that cannot be is halved until it shows which event that is
        about. Raises SinkAway."""
        left = until - time.monotonic()
        if left <= 0:
            return dict.fromkeys(_ids(group), HELD)
        known = self._exceptions
        messages = [self._written(message) for message in group]
        try:
            self._client.publish(topic=self._topic, messages=messages, timeout=min(_EACH_SECONDS, left), retry=None)
        except known.InvalidArgument:
            if len(group) == 1:
                return {group[0].id: Result(Fate.AGAIN, "Pub/Sub answered INVALID_ARGUMENT")}
            middle = len(group) // 2
            before, after = self._publish(group[:middle], until=until), group[middle:]
            if any(result != TAKEN for result in before.values()):
                return before | dict.fromkeys(_ids(after), HELD)
            try:
                return before | self._publish(after, until=until)
            except SinkAway as error:
                results = [*before.values(), *(error.results or _left(after, error))]
                raise SinkAway(str(error), is_busy=error.is_busy, results=results) from None
        except known.GoogleAPICallError as error:
            is_busy = isinstance(error, (known.TooManyRequests, known.ServiceUnavailable))
            told = f"Pub/Sub answered {getattr(error.grpc_status_code, 'name', error.code)}"
            raise SinkAway(told, is_busy=is_busy) from None
        except (known.RetryError, self._refusals.GoogleAuthError) as error:
            raise SinkAway(f"Pub/Sub cannot be reached: {type(error).__name__}") from None
        return dict.fromkeys(_ids(group), TAKEN)

    def _written(self, message: Message) -> dict[str, Any]:
        attributes, data = {"content-type": CONTENT_TYPE}, message.body
        if not self._is_structured:
            attributes, data = binary(message.body)
        return {"data": data, "attributes": attributes, "ordering_key": key_of(message)}

    def close(self) -> None:
        self._client.transport.close()


def key_of(message: Message) -> str:
    """What a subscription with ordering keeps in order. Short names of tenants may change."""
    return f"tenant-{message.stream}"


def binary(body: bytes) -> tuple[dict[str, str], bytes]:
    """An event's attributes, as those of a message, and its data."""
    found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    data = bytes(found.pop("data", msgspec.Raw(b"null")))
    told = {name: msgspec.json.decode(value) for name, value in found.items()}
    attributes = {"content-type": str(told.pop("datacontenttype", "application/json"))}
    return attributes | {f"ce-{name}": _text(value) for name, value in told.items()}, data


def _text(value: Any) -> str:
    """As CloudEvents writes the values of attributes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _left(group: Sequence[Message], away: SinkAway) -> list[Result]:
    """Of a stream, what comes after what was taken."""
    first = HELD if away.is_busy else Result(Fate.AGAIN, str(away))
    return [first, *[HELD] * (len(group) - 1)]


def _ids(messages: Iterable[Message]) -> list[str]:
    return [message.id for message in messages]
