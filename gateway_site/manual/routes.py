"""The management API, route by route, as pages: made of `apps/api/openapi.yaml`, which is made of the code.

What every route has in common is told in `docs/api.md` and left out here: cursors, versions, repeating, errors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Described = Mapping[str, Any]
COMMON = frozenset({"cursor", "limit", "id", "Idempotency-Key", "If-Match", "If-None-Match"})
SCHEMAS = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Group:
    """Resources that are looked for together, on one page."""

    name: str
    title: str
    tags: tuple[str, ...]


GROUPS = (
    Group("tenants", "Tenants, people and keys", ("me", "tenants", "projects", "members", "users", "keys", "tokens")),
    Group(
        "sign-in",
        "Sign-in and programs",
        ("identity-providers", "identities", "second-factors", "issuers", "programs", "managed-settings"),
    ),
    Group("budgets", "Budgets and limits", ("budgets", "budget-periods", "increases", "limits", "what-if/budget")),
    Group(
        "models",
        "Providers, models and prices",
        ("providers", "credentials", "models", "deployments", "fallbacks", "prices", "endpoints", "what-if/price"),
    ),
    Group(
        "policies",
        "Policies",
        ("data-policies", "policy-assignments", "cache-policies", "networks", "interventions", "policy-trial"),
    ),
    Group("alerts", "Alerts", ("alert-rules", "alert-destinations", "alerts")),
    Group("events", "Events", ("sinks", "undelivered-events")),
    Group(
        "usage",
        "Usage and the books",
        (
            *("usage/entries", "usage/rollups", "usage/costs", "usage/charges", "usage/refusals", "usage/unconfirmed"),
            *("usage/verifications", "usage/gaps", "usage/sealed-months"),
        ),
    ),
    Group(
        "reconciliation",
        "Reconciliation",
        ("report-sources", "provider-names", "provider-reports", "report-differences", "adjustments"),
    ),
    Group("installation", "The installation", ("config", "explain", "schedules", "replicas", "health", "audit")),
)


class Homeless(Exception):
    """A resource that is on no page."""


def pages(source: Path) -> Iterator[tuple[str, str, str]]:
    """Name, title and Markdown of each. Raises Homeless."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first takes a tenth of the time, where there is one
    described = yaml.load(source.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both are safe
    tags = {tag for _, _, route in _routes(described) for tag in route["tags"]}
    if lost := tags ^ {tag for group in GROUPS for tag in group.tags}:
        raise Homeless(f"In openapi.yaml or in {Path(__file__).name}, but not in both: {', '.join(sorted(lost))}.")
    for group in GROUPS:
        yield group.name, group.title, _page(group, described)


def _routes(described: Described) -> Iterator[tuple[str, str, Described]]:
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            if isinstance(route, dict) and "tags" in route:
                yield path, method, route


def _page(group: Group, described: Described) -> str:
    objects: dict[str, None] = {}
    lines = [f"# {group.title}", "", "[How the API speaks](../api.md#how-it-speaks)", ""]
    for tag in group.tags:
        lines += [f"## {tag}", ""]
        for path, method, route in _routes(described):
            if tag in route["tags"]:
                lines += _route(path, method, route, objects)
    lines += ["## Objects", ""]
    shown: set[str] = set()
    while waiting := [name for name in objects if name not in shown]:
        for name in waiting:
            shown.add(name)
            lines += _object(name, described["components"]["schemas"][name], objects)
    return "\n".join(lines)


def _route(path: str, method: str, route: Described, objects: dict[str, None]) -> Iterator[str]:
    yield from (f"### {method.upper()} {path}", "", f"**{route['summary']}.** {_paragraph(route)}", "")
    told = functools.partial(_type, objects=objects)
    parameters = [it for it in route.get("parameters", []) if it["name"] not in COMMON]
    if parameters:
        yield from ("| Parameter | Type | Meaning |", "|---|---|---|")
        yield from (_row(it["name"], told(it["schema"]), it, required=it.get("required", False)) for it in parameters)
        yield ""
    if body := _schema(route.get("requestBody", {})):
        yield from (f"Body: {told(body)}", "")
    for status, answer in route["responses"].items():
        if status != "default":
            schema = _schema(answer)
            yield from (f"Answer: {status}{', ' + told(schema) if schema else ''}", "")


def _schema(holder: Described) -> Described | None:
    for content in holder.get("content", {}).values():
        schema: Described = content.get("schema", {})
        return schema
    return None


def _object(name: str, schema: Described, objects: dict[str, None]) -> Iterator[str]:
    yield from (f"### {name}", "", _paragraph(schema), "")
    if fields := schema.get("properties"):
        required = schema.get("required", ())
        yield from ("| Field | Type | Meaning |", "|---|---|---|")
        is_asked = name.endswith("Request")
        for field, it in fields.items():
            yield _row(field, _type(it, objects=objects), it, required=is_asked and field in required)
    else:
        yield f"Type: {_type(schema, objects=objects)}"
    yield ""


def _row(name: str, kind: str, it: Described, *, required: bool) -> str:
    meaning = " ".join(filter(None, ("Required." if required else "", _paragraph(it), _bounds(it.get("schema", it)))))
    return f"| `{name}` | {kind} | {meaning} |"


def _paragraph(it: Described) -> str:
    return " ".join(str(it.get("description", "")).split()).replace("|", "\\|").replace("<", "&lt;")


def _bounds(schema: Described) -> str:
    told = [f"{word} {schema[key]}" for key, word in (("minLength", "from"), ("maxLength", "to")) if key in schema]
    text = f"Characters: {' '.join(told)}." if told else ""
    if "default" in schema:
        text += f" Otherwise `{schema['default']}`."
    return text.strip()


def _type(schema: Described, *, objects: dict[str, None]) -> str:
    told = functools.partial(_type, objects=objects)
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(SCHEMAS)
        objects.setdefault(name)
        return f"[{name}](#{name.lower()})"
    for word in ("allOf", "oneOf", "anyOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(told(option) for option in schema[word]))
    if "enum" in schema:
        return ", ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array" or "items" in schema:
        return f"list of {told(schema.get('items', {}))}"
    if "items" in schema.get("properties", {}) and "next" in schema["properties"]:
        return f"a page: `items`, {told(schema['properties']['items'])}, and `next`"
    kinds = schema.get("type", "anything")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if kind == "object" and isinstance(of := schema.get("additionalProperties"), dict) and of:
        return f"object of {told(of)}"
    return f"{kind}, {schema['format']}" if schema.get("format") in ("date", "date-time", "uri", "email") else kind
