"""The simulator's own account of what it emitted: the oracle that a gateway's ledger is compared with.

One JSON object a line, appended as things happen, so that a reader sees calls that are still open:

    {"event":"open", "id", "at", "dialect", "model", "stream", "caller", "prompt"}
    {"event":"end" | "aborted", "id", "at", "status", "fault", "emitted", "billed", "reported"}

`id` is the provider's request id, as its headers tell it. `caller` is the client's `x-weir-request` header. `prompt`
is a hash, never the text. `emitted` counts output tokens handed to the socket; a call that is not streamed emits all
of them or none. `billed` is what this provider charges: the prompt, unless the call was refused, and what was
emitted. `reported` is the usage that went over the wire, which may be none, or a lie. `aborted` means that the peer
left; `fault` names what the script broke.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec

from apps.simulator.usage import Counters

Event = Literal["open", "end", "aborted"]


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    event: Event
    id: str
    at: float
    dialect: str = ""
    model: str = ""
    stream: bool = False
    caller: str = ""
    prompt: str = ""
    status: int = 0
    fault: str = ""
    emitted: int = 0
    billed: Counters = Counters()
    reported: Counters | None = None


class Reading(msgspec.Struct, kw_only=True, frozen=True):
    """One call. `outcome` "open": it had not ended when the file was read."""

    id: str
    dialect: str
    model: str
    stream: bool
    caller: str
    prompt: str
    opened_at: float
    closed_at: float = 0.0
    outcome: Event = "open"
    status: int = 0
    fault: str = ""
    emitted: int = 0
    billed: Counters = Counters()
    reported: Counters | None = None


class Reader:
    """What a meter's file says, read on from where the last time ended: it may be asked as often as one likes."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._decoder = msgspec.json.Decoder(Line)
        self._readings: dict[str, Reading] = {}
        self._place = 0
        self._lock = threading.Lock()

    def read(self) -> list[Reading]:
        """Every call in the order they were opened, as it is now; none of an earlier list is changed. A last line that
        is not whole yet is left for the next time. Raises OSError."""
        with self._lock:
            with self._path.open("rb") as file:
                file.seek(self._place)
                *lines, rest = file.read().split(b"\n")
                self._place = file.tell() - len(rest)
            for line in lines:
                self._take(self._decoder.decode(line))
            return list(self._readings.values())

    def _take(self, line: Line) -> None:
        if line.event == "open":
            self._readings[line.id] = Reading(
                id=line.id,
                dialect=line.dialect,
                model=line.model,
                stream=line.stream,
                caller=line.caller,
                prompt=line.prompt,
                opened_at=line.at,
            )
            return
        self._readings[line.id] = msgspec.structs.replace(
            self._readings[line.id],
            outcome=line.event,
            closed_at=line.at,
            status=line.status,
            fault=line.fault,
            emitted=line.emitted,
            billed=line.billed,
            reported=line.reported,
        )


def read(path: str | Path) -> list[Reading]:
    """The same, once."""
    return Reader(path).read()


def fingerprint(texts: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Meter:
    """Appends lines to a file; without a path it forgets them."""

    def __init__(self, path: str | None) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._file = -1
        if path is not None:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: Line) -> None:
        if self._file >= 0:
            os.write(self._file, self._encode(line) + b"\n")


class Tally:
    """The running account of one call."""

    def __init__(self, meter: Meter, *, opened: Line) -> None:
        self._meter = meter
        self._id = opened.id
        self.inputs = Counters()
        self.emitted = 0
        self.status = 0
        self.fault = ""
        self.reported: Counters | None = None
        meter.write(opened)

    def close(self, event: Literal["end", "aborted"]) -> None:
        billed = msgspec.structs.replace(self.inputs, output=self.emitted, reasoning=0)
        self._meter.write(
            Line(
                event=event,
                id=self._id,
                at=time.time(),
                status=self.status,
                fault=self.fault,
                emitted=self.emitted,
                billed=billed,
                reported=self.reported,
            )
        )
