"""What a caller may want, in no dialect: the columns of the matrix. Each caller's dialect says it in its own words."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tests.sdk import worlds

Stop = Literal["end", "cap", "stop", "tools", "refusal"]

PIXEL = worlds.PIXEL
# The smallest file that readers take for a PDF; what it says does not matter to a provider that only counts it.
PDF = "JVBERi0xLjEKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZy9QYWdlcyAyIDAgUj4+ZW5kb2JqCjIgMCBvYmo8PC9UeXBlL1BhZ2VzPj5lbmRvYmoK"
SHELF = "http://shelf.test"  # stands for the server that a test has started
WEATHER = {"city": "Paris", "unit": "celsius"}
CLOCK = {"zone": "Paris"}


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    schema: dict[str, Any]


TOOLS = (
    Tool("get_weather", "The weather of a city", worlds.WEATHER_SCHEMA),
    Tool("get_time", "The time in a zone", worlds.CLOCK_SCHEMA),
)


class Result(msgspec.Struct, frozen=True):
    """A call of an earlier answer, and what came of it: `text`, and an image besides."""

    id: str
    name: str
    arguments: dict[str, Any]
    text: str
    image: bool = False


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`words` script the provider. `cap` is in tokens. `image_at` and `document_at` are URLs on the `SHELF`."""

    said: str = "Hello there, says Ada."
    system: str | None = None
    image: bool = False
    document: bool = False
    image_at: str = ""
    document_at: str = ""
    tools: tuple[Tool, ...] = ()
    results: tuple[Result, ...] = ()
    thinks: bool = False
    schema: dict[str, Any] | None = None
    stop: str | None = None
    cap: int = 900
    words: str = ""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer holds, wherever it comes from. `contains` is in its text, `kinds` are the JSON types it has."""

    contains: tuple[str, ...] = ()
    omits: tuple[str, ...] = ()
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    stop: Stop = "end"
    thinks: bool = False
    redacts: bool = False
    fits: dict[str, Any] | None = None  # a schema
    caches: bool = False
    fails: tuple[int, str] | None = None  # before the answer: status, and what of the dialect's word for it
    breaks: bool = False  # in the middle of a stream


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    wish: Wish = Wish()
    expected: Expected = Expected()


ECHO = "You wrote “Hello there, says Ada.”"

FEATURES = (
    Feature(name="text", expected=Expected(contains=(ECHO,))),
    Feature(name="system", wish=Wish(system="Be brief."), expected=Expected(contains=(ECHO,))),
    Feature(name="image", wish=Wish(image=True), expected=Expected(contains=(ECHO,))),
    Feature(name="document", wish=Wish(document=True), expected=Expected(contains=(ECHO,))),
    Feature(name="image by URL", wish=Wish(image_at=f"{SHELF}/pixel.png"), expected=Expected(contains=(ECHO,))),
    Feature(name="document by URL", wish=Wish(document_at=f"{SHELF}/report.pdf"), expected=Expected(contains=(ECHO,))),
    Feature(
        name="tools",
        wish=Wish(said="What is the weather in Paris?", tools=TOOLS),
        expected=Expected(calls=(("get_weather", WEATHER),), stop="tools"),
    ),
    Feature(
        name="parallel tools",
        wish=Wish(said="Use both tools for Paris.", tools=TOOLS, words="parallel-tools"),
        expected=Expected(calls=(("get_weather", WEATHER), ("get_time", CLOCK)), stop="tools"),
    ),
    Feature(
        name="tool results with images",
        wish=Wish(
            said="What is the weather in Paris?",
            tools=TOOLS,
            results=(
                Result("toolu_01a", "get_weather", WEATHER, "18 degrees", image=True),
                Result("toolu_01b", "get_time", CLOCK, "noon"),
            ),
        ),
        expected=Expected(contains=("18 degrees", "noon")),
    ),
    Feature(name="thinking", wish=Wish(thinks=True), expected=Expected(contains=(ECHO,), thinks=True)),
    Feature(
        name="redacted thinking",
        wish=Wish(thinks=True, words="redacted"),
        expected=Expected(contains=(ECHO,), thinks=True, redacts=True),
    ),
    Feature(
        name="structured output",
        wish=Wish(said="Describe the person Ada Lovelace, 36 years old.", schema=worlds.PERSON_SCHEMA),
        expected=Expected(fits=worlds.PERSON_SCHEMA),
    ),
    Feature(
        name="stop sequence",
        wish=Wish(stop="simulated"),
        expected=Expected(contains=("You wrote",), omits=("simulated",), stop="stop"),
    ),
    Feature(name="max tokens", wish=Wish(cap=20), expected=Expected(omits=("longest",), stop="cap")),
    Feature(name="refusal", wish=Wish(words="refusal"), expected=Expected(contains=("I can't help",), stop="refusal")),
    Feature(name="cache usage", wish=Wish(words="cache"), expected=Expected(contains=(ECHO,), caches=True)),
    Feature(name="error before", wish=Wish(words="529"), expected=Expected(fails=(529, "overloaded"))),
    Feature(name="error mid-stream", wish=Wish(words="error-after-6,pace-25"), expected=Expected(breaks=True)),
    Feature(name="context overflow", wish=Wish(words="overflow"), expected=Expected(fails=(400, "overflow"))),
)
BY_NAME = {feature.name: feature for feature in FEATURES}
