from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django import template
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR

from apps.accounts import views_of_lists

register = template.Library()


@register.inclusion_tag("admin/views.html", takes_context=True)
def saved_views(context: Any, cl: Any) -> dict[str, Any]:
    """The views of a list as chips, and how the present one is saved. One query."""
    request = context["request"]
    page = cl.model._meta.label_lower
    present = views_of_lists.lasting(request.GET.urlencode()[:4_000])
    views = [(view, _usable(cl, view.query, request)) for view in views_of_lists.offered(request.user, page)]
    return {
        "csrf_token": context.get("csrf_token"),
        "views": [
            {
                "view": view,
                "link": f"?{query}",
                "is_present": query == present,
                "is_own": views_of_lists.may_change(request.user, view),
                "whose": "" if view.user_id == request.user.pk else str(view.user),
            }
            for view, query in views
        ],
        "page": page,
        "present": present,
        "can_save": bool(present) and present not in {query for _, query in views},
        "download": _download(cl, request),
        "transfer": getattr(cl.model_admin, "transfer", ""),
    }


def _usable(cl: Any, query: str, request: Any) -> str:
    """Without what the list filters by no longer."""
    known = {SEARCH_VAR, ORDER_VAR}
    for spec in cl.list_filter:
        if isinstance(spec, type):
            known.add(str(getattr(spec, "parameter_name", "")))
    columns = {field.name for field in cl.model._meta.get_fields()}
    kept = [
        (name, value)
        for name, value in parse_qsl(query)
        if name in known or (name.partition("__")[0] in columns and cl.model_admin.lookup_allowed(name, value, request))
    ]
    return urlencode(kept)


def _download(cl: Any, request: Any) -> str:
    """Where the list as it stands can be taken away; empty: nowhere."""
    if not getattr(cl.model_admin, "downloaded", None):
        return ""
    query = views_of_lists.lasting(request.GET.urlencode()[:4_000])
    return f"download.csv{'?' if query else ''}{query}"
