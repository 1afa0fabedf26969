"""The tools, schemas and prompts that the SDK suites use."""

from __future__ import annotations

from typing import Any

WEATHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "A city"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
CLOCK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"type": "string"}},
    "required": ["zone"],
    "additionalProperties": False,
}
PERSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
ANTHROPIC_TOOLS: list[Any] = [
    {"name": "get_weather", "description": "The weather of a city", "input_schema": WEATHER_SCHEMA},
    {"name": "get_time", "description": "The time in a zone", "input_schema": CLOCK_SCHEMA},
]
OPENAI_TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": tool["name"],
            "description": tool["description"],
            "parameters": tool["input_schema"],
            "strict": True,
        },
    }
    for tool in ANTHROPIC_TOOLS
]


def user(text: str) -> list[Any]:
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


HELLO = user("Hello there, says Ada.")
WEATHER = user("What is the weather in Paris?")
BOTH = user("Use both tools for Paris.")
PERSON = user("Describe the person Ada Lovelace, 36 years old.")

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def simulate(words: str) -> dict[str, str]:
    """Headers that script the simulated provider, which the gateway passes on to it alone."""
    return {"x-simulate": words}


def refusing(model: str, *, words: str) -> str:
    """The model to ask for that answer: one of its own for what would set the credential aside."""
    return f"{model.partition('-')[0]}-{words}" if words in ("401", "429") else model
