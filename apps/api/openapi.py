"""The description of the API, made of its code. Only `manage.py openapi` asks for it: what makes it takes a second to
load."""

from __future__ import annotations

from typing import Any

import yaml
from django.urls import include, path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from apps.api.bodies import Body, Page
from apps.api.problems import MEDIA_TYPE, TITLES
from apps.api.resource import Resource, Signed
from apps.api.resources.tokens import Tokens

ABOUT = """Everything that the admin does, for programs: the same services, the same rights.

Send `Authorization: Bearer weirapi_…`, a token of yours, which can do what you can and no more. Money is whole
billionths of a US dollar (`…_nano_usd`), moments are RFC 3339 with an offset. Lists are paged by `cursor`: follow
`next`. Writes to one object need its `ETag` in `If-Match`. A POST with an `Idempotency-Key` can be sent again: it is
done once.
"""
SETTINGS = {
    "TITLE": "Weir management API",
    "DESCRIPTION": ABOUT,
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_NO_READ_ONLY_REQUIRED": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "LICENSE": {"name": "MIT"},
}
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(TITLES)},
        "detail": {"type": "string"},
        "errors": {
            "type": "object",
            "description": "Messages by field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "trace_id": {"type": "string", "description": "As in the header `x-trace-id` and in log lines."},
    },
}
VERBS = {"list": "list", "retrieve": "get", "create": "create", "partial_update": "change", "destroy": "remove"}
_REFUSED = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}, "description": "Refused."}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.authentication.ByToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> Any:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "weirapi_…"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.authentication.BySession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Any:
        told = "Of whoever is signed in. In production its name is `__Host-sessionid`."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": told}


class Schema(AutoSchema):
    """As views say of themselves: `body`, `given` and `gives` by what is done."""

    @property
    def _action(self) -> str:
        return str(self.view.action)

    def get_tags(self) -> list[str]:
        return [self.view.place]

    def get_operation_id(self) -> str:
        name = self.view.place.replace("/", "_").replace("-", "_")
        return f"{name}_{VERBS.get(self._action, self._action)}"

    def get_description(self) -> str:
        described = getattr(self.view, self._action).__doc__ or ""
        told = " ".join(described.split())
        return f"{' '.join((type(self.view).__doc__ or '').split())} {told}" if self._action == "list" else told

    def get_summary(self) -> str:
        verb = VERBS.get(self._action, self._action).replace("_", " ").capitalize()
        return verb if not isinstance(self.view, Resource) or verb == "List" else f"{verb} a {self.view.noun}"

    def get_request_serializer(self) -> Any:
        if isinstance(self.view, Resource) and self._action in ("create", "partial_update"):
            return self.view.get_serializer()
        return self.view.given

    def get_response_serializers(self) -> Any:
        if self.view.gives is not None:
            return {200: self.view.gives}
        status = {"create": 201, "destroy": 204}.get(self._action, 200)
        return {status: None if status == 204 else self.view.get_serializer()}

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = []
        if self._action == "list":
            found += [self.view.query] if self.view.query is not None else []
            found += [Page] if isinstance(self.view, Resource) else []
        if self._action in ("partial_update", "destroy"):
            told = "The ETag of what was read; `*`: any."
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, required=True, description=told))
        if self.method == "POST" and isinstance(self.view, Resource) and self.view.is_repeated:
            told = "Of your choice: sent again with it, the request is answered again and done once."
            found.append(OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description=told))
        return found

    def get_operation(self, *args: Any, **options: Any) -> Any:
        operation = super().get_operation(*args, **options)
        if operation is not None:
            self._finish(operation)
        return operation

    def _finish(self, operation: dict[str, Any]) -> None:
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                pattern = self.view.lookup_value_regex
                parameter["schema"] = {"type": "string", "pattern": f"^{pattern}$"}
        if self._action == "list" and isinstance(self.view, Resource):
            content = operation["responses"]["200"]["content"]["application/json"]
            content["schema"] = {
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {"type": "array", "items": content["schema"]},
                    "next": {"type": ["string", "null"], "description": "The next page; null: this is the last."},
                },
            }
        operation["responses"]["default"] = _REFUSED

    def _get_serializer_name(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> str:
        name: str = super()._get_serializer_name(serializer, direction, bypass_extensions)
        return name.replace("Body", "")

    def _map_serializer(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        """What is not known is refused; what is told is told always, but for what is told once or to some."""
        schema = super()._map_serializer(serializer, direction, bypass_extensions)
        if direction == "request":
            schema["additionalProperties"] = False
        elif isinstance(serializer, serializers.Serializer) and "properties" in schema:
            some = {*Tokens.secrets, *(serializer.inner if isinstance(serializer, Body) else ())}
            schema["required"] = sorted(name for name in schema["properties"] if name not in some)
        return schema


def described() -> tuple[str, list[str]]:
    """The file, and what could not be described."""
    Signed.schema = Schema()
    patterns = [path("api/v1/", include("apps.api.urls"))]
    with patched_settings(SETTINGS):
        made = SchemaGenerator(patterns=patterns).get_schema(request=None, public=True)
        made["components"]["schemas"]["Problem"] = PROBLEM
    warnings = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    return yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120), warnings
