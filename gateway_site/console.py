"""How the admin looks and is found one's way in: Unfold's settings."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{view}")}


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Weir",
    "SITE_HEADER": "Weir",
    "SITE_SUBHEADER": "LLM gateway",
    "SITE_SYMBOL": "water",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("weir.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "gateway_site.dashboard.context",
    "COLORS": {
        "primary": {
            "50": "#ecfeff",
            "100": "#cffafe",
            "200": "#a5f3fc",
            "300": "#67e8f9",
            "400": "#22d3ee",
            "500": "#06b6d4",
            "600": "#0e7490",
            "700": "#155e75",
            "800": "#164e63",
            "900": "#083344",
            "950": "#042f2e",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {"title": None, "items": [_item("Overview", "dashboard", "index")]},
            _group(
                "Usage",
                _item("Calls", "receipt_long", "usage_entry_changelist"),
                _item("By the hour", "bar_chart", "usage_hourlyrollup_changelist"),
            ),
            _group(
                "Who may",
                _item("Tenants", "domain", "tenants_tenant_changelist"),
                _item("Projects", "folder", "tenants_project_changelist"),
                _item("People", "group", "accounts_user_changelist"),
                _item("Keys", "key", "keys_key_changelist"),
            ),
            _group(
                "How much",
                _item("Budgets", "savings", "quotas_budget_changelist"),
                _item("Limits", "speed", "quotas_limit_changelist"),
            ),
            _group(
                "Where to",
                _item("Providers", "hub", "catalog_provider_changelist"),
                _item("Models", "neurology", "catalog_model_changelist"),
                _item("Deployments", "conversion_path", "catalog_deployment_changelist"),
                _item("Prices", "sell", "catalog_price_changelist"),
                _item("Opened networks", "lan", "catalog_allowednetwork_changelist"),
            ),
            _group(
                "Operations",
                _item("Schedules", "schedule", "django_celery_beat_periodictask_changelist"),
                _item("Audit log", "history", "audit_record_changelist"),
            ),
        ],
    },
}
