"""What a model's name, or the header `x-simulate`, makes the simulator do.

Words are read anywhere in the name between `-`, `_`, `:`, `/`, `@`, `+` or `,`: `claude-sonnet-4-6-thinking`,
`gpt-5-dies-after-3-chunks`. The header is a list of the same words with commas and wins over the name; so does what
`PUT /simulator/moods` has said of a model, where there is no header.

    answers    tools, parallel-tools, thinking, redacted, cache, refusal, refusal-stop, long (800 tokens), tokens-N,
               ignore-max (writes past the cap), lenient (unknown fields pass)
    benchmark  53 (exactly 53 events when streamed), prebuilt: ready bytes, the request is not examined
    time       slow (first byte after 2 s), slow-N (after N ms), pace-N (N ms between events, --fast or not)
    refusals   400 401 403 404 408 413 422 424 429 500 502 503 504 529, overflow (of the context window),
               leak (400 that tells the caller's key), N-then-ok (status N for the first call with this key, model and
               header; words that mean nothing make a header new)
    breakage   dies-before-headers (connection closed at once), dies-after-N-chunks (closed), resets-after-N (reset),
               ends-after-N (well-formed end, too early), error-after-N (the dialect's error event; with `throttled` the
               one for too many calls), corrupt-after-N (one event has a wrong byte, the others follow), stall (no
               answer), stall-after-N (silence until the caller leaves), no-terminator, garbage, html-200, nousage, lies
    delivery   trickle (one byte a write), crlf (line ends), slow-headers (byte by byte, 2 s), late-end (the body ends
               500 ms after the last event), clock (each token of text is the machine's monotonic time of its writing,
               in 19 digits of nanoseconds)

N counts events. An answer that is not streamed is cut in the middle for every N; `ends`, `error` and `corrupt` leave it
whole.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

Cut = Literal["dies", "resets", "ends", "error", "stall", "corrupt"]

_STATUS = "400|401|403|404|408|413|422|424|429|500|502|503|504|529"
_PLAIN = (
    "parallel-tools|tools|thinking|redacted|cache|refusal-stop|refusal|ignore-max|lenient|53|prebuilt|overflow|leak|"
    "dies-before-headers|no-terminator|garbage|html-200|nousage|lies|trickle|crlf|slow-headers|late-end|clock|"
    "throttled|long|slow|stall"
)
_WORD = re.compile(
    r"(?<![^\-_:/@+,])(?:"
    rf"(?P<first>{_STATUS})-then-ok"
    rf"|(?P<status>{_STATUS})"
    r"|(?P<cut>dies|resets|ends|error|stall|corrupt)-after-(?P<after>\d{1,6})(?:-chunks)?"
    r"|(?P<amount>tokens|slow|pace)-(?P<number>\d{1,6})"
    rf"|(?P<plain>{_PLAIN})"
    r")(?![^\-_:/@+,])"
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """`first_status` is for the first call only. `first_byte_ms` and `pace_ms` None: the natural pace.

    `is_prebuilt`: nothing is asked that needs more than ready bytes.
    """

    words: frozenset[str] = frozenset()
    status: int | None = None
    first_status: int | None = None
    cut: Cut | None = None
    after: int = 0
    tokens: int | None = None
    first_byte_ms: int | None = None
    pace_ms: int | None = None
    is_prebuilt: bool = False


@lru_cache(maxsize=4096)
def read(model: str, header: str = "") -> Script:
    text = re.sub(r"\s+", "", header or model).lower()
    words: set[str] = set()
    numbers: dict[str, int] = {}
    cut: Cut | None = None
    for match in _WORD.finditer(text):
        if match["plain"]:
            words.add(match["plain"])
        elif match["cut"]:
            cut = match["cut"]  # type: ignore[assignment]  # the pattern admits only these
            numbers["after"] = int(match["after"])
        elif match["amount"]:
            numbers[match["amount"]] = int(match["number"])
        else:
            numbers["first" if match["first"] else "status"] = int(match["first"] or match["status"])
    return Script(
        words=frozenset(words),
        status=numbers.get("status"),
        first_status=numbers.get("first"),
        cut=cut,
        after=numbers.get("after", 0),
        tokens=numbers.get("tokens", 800 if "long" in words else None),
        first_byte_ms=numbers.get("slow", 2000 if "slow" in words else None),
        pace_ms=numbers.get("pace"),
        is_prebuilt=bool(words) and words <= {"53", "prebuilt"} and not numbers,
    )
