"""Lists of choices, written at once. Django's templates take one for each choice: 100 ms where 400 people can be
chosen, and as much for a list of time zones."""

from __future__ import annotations

from typing import Any

from django.forms.renderers import DjangoTemplates
from django.forms.utils import flatatt
from django.forms.widgets import Select
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

OPTION = Select.option_template_name
END = "</select>"


class AtOnce:
    """For renderers of forms: whatever stands around a list, and lists whose choices look otherwise, are theirs."""

    def render(self, template_name: str, context: dict[str, Any], request: HttpRequest | None = None) -> str:
        widget = context.get("widget", {})
        groups = widget.get("optgroups") if template_name.endswith("/select.html") else None
        if not groups or any(each["template_name"] != OPTION for _, options, _ in groups for each in options):
            return _rendered(self, template_name, context, request)
        empty = context | {"widget": widget | {"optgroups": []}}
        before, end, after = _rendered(self, template_name, empty, request).rpartition(END)
        return mark_safe(f"{before}{_groups(groups)}{end}{after}")  # noqa: S308  # each part is escaped


class Renderer(AtOnce, DjangoTemplates):
    """Of all forms but the portal's."""


def _rendered(renderer: Any, template_name: str, context: dict[str, Any], request: HttpRequest | None) -> str:
    return str(super(AtOnce, renderer).render(template_name, context, request))


def _groups(groups: list[tuple[str | None, list[dict[str, Any]], int]]) -> SafeString:
    written = [(name, _options(options)) for name, options, _ in groups]
    return format_html_join(
        "\n",
        "{}",
        ((format_html('<optgroup label="{}">{}</optgroup>', name, text) if name else text,) for name, text in written),
    )


def _options(options: list[dict[str, Any]]) -> SafeString:
    told = ((each["value"], flatatt(each["attrs"]), each["label"]) for each in options)
    return format_html_join("\n", '<option value="{}"{}>{}</option>', told)
