from __future__ import annotations

import re
from typing import Any

from django import template
from django.contrib import admin
from django.urls import Resolver404, resolve
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

register = template.Library()
_LINK = re.compile(r'<a href="([^"]+)"[^>]*>[^<]*</a>')


@register.simple_tag(takes_context=True)
def reachable(context: Any, shown: Any) -> Any:
    """A row's name with the link to its page, which Django gives to everybody; without it for who may not see that."""
    found = _LINK.fullmatch(shown) if isinstance(shown, SafeString) else None
    request = context.get("request")
    if found is None or request is None or _may_see(request, found[1]):
        return shown
    return SafeString(strip_tags(shown))


def _may_see(request: Any, url: str) -> bool:
    try:
        name = resolve(url).url_name or ""
    except Resolver404:
        return True
    for model, page in admin.site._registry.items():
        if name == f"{model._meta.app_label}_{model._meta.model_name}_change":
            return bool(page.has_view_permission(request))
    return True
