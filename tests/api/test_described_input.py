"""Every parameter and every field that the description names, given what cannot be: each is told at its place."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import yaml

from apps.api import pages, rates
from apps.audit.models import Record

pytestmark = pytest.mark.once

LONG = "x" * 20_000
HUGE = 10**400
DEEP: Any = "x"
for _ in range(400):
    DEEP = [DEEP]
NO_TEXTS = ["a\x00b", LONG, 7, ["a"], {"a": "b"}, True, "\ud800"]
NO_NUMBERS = [-HUGE, HUGE, "7", True, [7], {}, DEEP]
WRONG: dict[str, list[Any]] = {
    "string": NO_TEXTS,
    "integer": [*NO_NUMBERS, 7.5, "\ud800"],
    "number": [*NO_NUMBERS, "NaN"],
    "boolean": ["true", 1, 0.0, [], {}, "\x00", DEEP],
    "array": ["a", 7, {"a": 1}, [DEEP], [None], ["\ud800"], ["a\x00b"]],
    "object": ["a", 7, ["a"], True, "\x00", DEEP, "\ud800"],
}
NO_WORDS = {  # of a query
    "integer": ["-1", "9" * 30, "x", "1.5", "a\x00b", "1e5", "7" * 5_000],
    "string": ["a\x00b", LONG],
    "date-time": ["2027-02-30T00:00:00Z", "yesterday", "2027-01-01T00:00:00", "a\x00b", "9" * 30, "-1"],
    "date": ["2027-02-30", "yesterday", "a\x00b", "9" * 30, "-1"],
    "enum": ["nonsense", "a\x00b", LONG, "-1"],
}
LONG_ONES = {"document", "text", "content"}  # which may be


class Operation(NamedTuple):
    method: str
    path: str  # with {id}
    parameters: dict[str, dict[str, Any]]  # of the query: their schemas
    fields: dict[str, dict[str, Any]]  # of the body


def operations() -> list[Operation]:
    described = yaml.load(pages.FILE.read_text(), Loader=yaml.CSafeLoader)
    return [
        Operation(method.upper(), path.removeprefix("/api/v1"), queried(told), written(described, told))
        for path, methods in described["paths"].items()
        for method, told in methods.items()
    ]


def queried(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each["schema"] for each in told.get("parameters", ()) if each["in"] == "query"}


def written(described: dict[str, Any], told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if "requestBody" not in told:
        return {}
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {name: each for name, each in schema["properties"].items() if not each.get("readOnly")}


def kind(schema: dict[str, Any]) -> str:
    told = schema.get("type", "object")
    return told if isinstance(told, str) else next(each for each in told if each != "null")


def words(schema: dict[str, Any]) -> list[str]:
    if "enum" in schema:
        return NO_WORDS["enum"]
    return NO_WORDS[schema.get("format", "") if kind(schema) == "string" and "format" in schema else kind(schema)]


def turns(wrong: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """By name what is wrong, of all at once, until each has had all of its values."""
    most = max(map(len, wrong.values()), default=0)
    return [{name: values[n] for name, values in wrong.items() if n < len(values)} for n in range(most)]


def address(world: Any, operation: Operation) -> str:
    place = operation.path[1:].partition("/{id}")[0]
    return operation.path.replace("{id}", str(world.ids.get(place, 1)))


def untold(answer: Any, names: Any) -> set[str]:
    """Names that the refusal says nothing of."""
    told = answer.json().get("errors", {})
    return {name for name in names if not any(each == name or each.startswith(f"{name}.") for each in told)}


@pytest.fixture(scope="module")
def described() -> list[Operation]:
    return operations()


def test_every_parameter_of_a_query_is_told_what_it_cannot_be(world, described):
    found = []
    for operation in described:
        for wrong in turns({name: words(schema) for name, schema in operation.parameters.items()}):
            rates.forget()
            answer = world.operator(operation.method, f"{address(world, operation)}?{urlencode(wrong)}")
            if answer.status_code != 400 or untold(answer, wrong):
                found.append((operation.method, operation.path, answer.status_code, untold(answer, wrong)))
    assert found == []


def test_every_field_of_a_body_is_told_what_it_cannot_be(world, described):
    before = Record.objects.count()
    found = []
    for operation in described:
        for wrong in turns({name: WRONG[kind(schema)] for name, schema in operation.fields.items()}):
            rates.forget()
            answer = world.operator(operation.method, address(world, operation), wrong, if_match="*")
            names = {name for name in wrong if name not in LONG_ONES or wrong[name] != LONG}
            if names and (answer.status_code != 422 or untold(answer, names)):
                found.append((operation.method, operation.path, answer.status_code, untold(answer, names), wrong))
    assert found == []
    assert Record.objects.count() == before


def test_much_is_described(described):
    assert len(described) > 150
    assert sum(len(each.fields) for each in described) > 400
    assert sum(len(each.parameters) for each in described) > 200
