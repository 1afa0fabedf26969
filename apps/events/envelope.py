"""Events as CloudEvents 1.0 in structured mode: JSON, https://github.com/cloudevents/spec (v1.0.2).

`source` and `id` together name an event: whoever gets it twice knows it by them. `sequence` orders all events of the
installation (as text, too), and so those of a `tenant`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import structlog
from django.conf import settings

from apps.events import doors
from apps.events.kinds import schema_of, type_of
from apps.events.models import Event
from apps.events.sinks.contract import Message

log = structlog.get_logger(__name__)


class Unwritten(NamedTuple):
    """Why an event cannot be told. `is_final`: nor ever will be."""

    why: str
    is_final: bool


def messages(events: Sequence[Event]) -> list[Message | Unwritten]:
    """In order. A query for the tenants' names, and those of the families that are referred to."""
    slugs = doors.slugs({event.tenant_id for event in events if event.tenant_id is not None})
    said = _said([event for event in events if event.data is None])
    found: list[Message | Unwritten] = []
    for event in events:
        rendered = said[event.uid] if event.data is None else doors.Rendered(event.subject, event.data)
        if isinstance(rendered, Unwritten):
            found.append(rendered)
        else:
            tenant = "" if event.tenant_id is None else slugs.get(event.tenant_id, str(event.tenant_id))
            found.append(_message(event, rendered, tenant=tenant))
    return found


def envelope(event: Event, rendered: doors.Rendered, *, tenant: str) -> dict[str, Any]:
    """Attributes, extensions and data, as an object of JSON."""
    attributes = {
        "specversion": "1.0",
        "id": str(event.uid),
        "source": settings.WEIR_EVENT_SOURCE,
        "type": type_of(event.kind),
        "subject": rendered.subject,
        "time": event.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "dataschema": schema_of(event.kind),
        "sequence": f"{event.position:020d}",
        "tenant": tenant,
    }
    return {name: value for name, value in attributes.items() if value} | {"data": rendered.data}


def _message(event: Event, rendered: doors.Rendered, *, tenant: str) -> Message:
    said = envelope(event, rendered, tenant=tenant)
    return Message(
        id=said["id"],
        kind=event.kind,
        type=said["type"],
        tenant=tenant,
        stream=event.tenant_id or 0,
        position=event.position or 0,
        time=said["time"],
        body=msgspec.json.encode(said),
    )


def _said(events: Sequence[Event]) -> Mapping[UUID, doors.Rendered | Unwritten]:
    families: defaultdict[str, list[UUID]] = defaultdict(list)
    for event in events:
        families[event.kind.partition(".")[0]].append(event.uid)
    found: dict[UUID, doors.Rendered | Unwritten] = {}
    for family, uids in families.items():
        found |= _rendered(family, uids)
    return found


def _rendered(family: str, uids: Sequence[UUID]) -> Mapping[UUID, doors.Rendered | Unwritten]:
    """One that breaks its renderer does not keep the others of its batch."""
    if (render := doors.renderers.get(family)) is None:
        return dict.fromkeys(uids, Unwritten("this version of Weir cannot tell of it", is_final=False))
    try:
        told = render(uids)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if len(uids) > 1:
            return {uid: each for one in uids for uid, each in _rendered(family, [one]).items()}
        log.exception("event.not_rendered", subject=str(uids[0]))
        return {uids[0]: Unwritten(f"it cannot be rendered: {type(error).__name__}", is_final=False)}
    gone = Unwritten("what it tells of is there no more", is_final=True)
    return {uid: told.get(uid, gone) for uid in uids}
