"""Events on their way, as sinks get them."""

from __future__ import annotations

import json

from apps.events.sinks.contract import Message


def message(number: int, *, stream: int = 1, **said: object) -> Message:
    told = {
        "specversion": "1.0",
        "id": f"00000000-0000-4000-8000-{number:012}",
        "source": "https://weir.example",
        "type": "weir.key.created.v1",
        "subject": f"key:{number}",
        "time": "2026-11-23T00:00:00.000000Z",
        "datacontenttype": "application/json",
        "sequence": f"{number:020}",
        "tenant": f"tenant-{stream}",
        "data": {"key_id": number, **said},
    }
    body = json.dumps(told, separators=(",", ":")).encode()
    return Message(
        id=str(told["id"]), kind="key.created", type=str(told["type"]), tenant=f"tenant-{stream}", stream=stream,
        position=number, time=str(told["time"]), body=body,
    )  # fmt: skip
