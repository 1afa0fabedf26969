"""How the admin looks and is found one's way in: Unfold's settings."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.templatetags.static import static
from django.urls import get_script_prefix, reverse

from gateway_site import explainers


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    """A link to the list of `app.model`, for those who may see it. Links are names of pages: see `_linked`."""
    app, _, name = model.partition(".")
    return {
        "title": title,
        "icon": icon,
        "link": f"admin:{app}_{name}_changelist",
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


def _navigation(request: Any) -> list[dict[str, Any]]:
    """The menu as far as the person may see it. Unfold is not left to ask: it makes a class for each answer."""
    told = ({**group, "items": [_told(item) for item in group["items"] if _is_open(item, request)]} for group in MENU)
    return _linked(group for group in told if group["items"])


def _told(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "permission"}


def _tabs(_request: Any = None) -> list[dict[str, Any]]:
    return _linked(TABS)


def _linked(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """With addresses for names. Unfold compares them with each other and with the page's own, hundreds of times a page;
    what finds them as late as that takes a third of its making."""
    prefix = get_script_prefix()
    return [
        {**group, "items": [{**item, "link": _address(item["link"], prefix)} for item in group["items"]]}
        for group in groups
    ]


@functools.cache
def _address(name: str, _prefix: str) -> str:
    return reverse(name)


def _is_open(item: dict[str, Any], request: Any) -> bool:
    return bool(item["permission"](request)) if "permission" in item else True


def _may_transfer(request: Any) -> bool:
    from gateway_site import transfer  # settings are read before there are models

    return transfer.may_ask(request.user)


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


MENU = [
    {
        "title": None,
        "items": [
            {"title": "Overview", "icon": "dashboard", "link": "admin:index"},
            {
                "title": "Live",
                "icon": "monitoring",
                "link": "portal:live-all",
                "permission": lambda request: request.user.has_perm("usage.view_entry"),
            },
        ],
    },
    _group(
        "Usage",
        _item("Ledger", "receipt_long", "usage.entry"),
        _item("Refused calls", "block", "usage.refusal"),
        _item("Unconfirmed usage", "help", "usage.unconfirmed"),
        _item("Gaps", "broken_image", "quotas.gap"),
        _item("Checks of the books", "fact_check", "usage.verification"),
        _item("Hourly rollups", "bar_chart", "usage.hourlyrollup"),
        _item("Sealed months", "inventory_2", "usage.sealedmonth"),
    ),
    _group(
        "Reconciliation",
        _item("Providers' reports", "difference", "reconciliation.report"),
        _item("Adjustments", "balance", "reconciliation.adjustment"),
        _item("Names at providers", "label", "reconciliation.providername"),
        _item("Report sources", "cloud_download", "reconciliation.reportsource"),
    ),
    _group(
        "Access",
        _item("Tenants", "domain", "tenants.tenant"),
        _item("Projects", "folder", "tenants.project"),
        _item("Users", "group", "accounts.user"),
        _item("Keys", "key", "keys.key"),
        _item("Signed-in programs", "devices", "keys.grant"),
        _item("API tokens", "vpn_key", "access.token"),
        _item("Identity providers", "badge", "signin.identityprovider"),
        _item("Identities", "fingerprint", "accounts.identity"),
        _item("Second factors", "phonelink_lock", "signin.secondfactor"),
        _item("Trusted issuers", "verified_user", "keys.issuer"),
    ),
    _group(
        "Spending",
        _item("Budgets", "savings", "quotas.budget"),
        _item("Budget increases", "trending_up", "quotas.increase"),
        _item("Limits", "speed", "quotas.limit"),
    ),
    _group(
        "Alerts",
        _item("Alerts", "notifications", "alerts.alert"),
        _item("Rules", "rule", "alerts.alertrule"),
        _item("Destinations", "forward_to_inbox", "alerts.destination"),
    ),
    _group(
        "Routing",
        _item("Providers", "hub", "catalog.provider"),
        _item("Credentials", "password", "catalog.credential"),
        _item("Models", "neurology", "catalog.model"),
        _item("Deployments", "conversion_path", "catalog.deployment"),
        _item("Pinned endpoints", "push_pin", "catalog.pinnedendpoint"),
        _item("Prices", "sell", "catalog.price"),
        _item("Allowed networks", "lan", "catalog.allowednetwork"),
        {
            "title": "Explain a call",
            "icon": "alt_route",
            "link": "admin:explain",
            "permission": lambda request: explainers.may_ask(request.user),
        },
        {
            "title": "Import and export",
            "icon": "swap_vert",
            "link": "admin:transfer",
            "permission": _may_transfer,
        },
    ),
    _group(
        "Policies",
        _item("Data policies", "policy", "policies.datapolicy"),
        _item("Interventions", "front_hand", "policies.intervention"),
        _item("Cache policies", "cached", "policies.cachepolicy"),
        _item("Managed settings", "terminal", "policies.managedsettings"),
    ),
    _group(
        "Operations",
        {
            "title": "Health",
            "icon": "monitor_heart",
            "link": "admin:health",
            "permission": lambda request: request.user.is_superuser,
        },
        _item("Gateways", "dns", "quotas.replica"),
        _item("Event sinks", "outbox", "events.sink"),
        _item("Undelivered events", "mark_email_unread", "events.undelivered"),
        _item("Periodic tasks", "schedule", "django_celery_beat.periodictask"),
        _item("Audit log", "history", "audit.record"),
    ),
]

TABS = [
    {
        "models": [
            "django_celery_beat.periodictask",
            "django_celery_beat.intervalschedule",
            "django_celery_beat.crontabschedule",
        ],
        "items": [
            _item("Tasks", "", "django_celery_beat.periodictask"),
            _item("Intervals", "", "django_celery_beat.intervalschedule"),
            _item("Crontabs", "", "django_celery_beat.crontabschedule"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Weir",
    "SITE_HEADER": "Weir",
    "SITE_SUBHEADER": "LLM gateway",
    "SITE_SYMBOL": "water",
    "SITE_URL": None,
    "STYLES": [lambda request: static("admin/weir.css")],
    "SCRIPTS": [lambda request: static("admin/forms.js")],
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
        "navigation": _navigation,
    },
    "TABS": _tabs,
}
