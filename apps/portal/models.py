"""Models: what the tenant may call, what each can do, what it costs and how fast it has been."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import Http404, HttpResponse
from django.utils import timezone

from apps.domain.routing import abilities
from apps.keys import selfservice
from apps.policies.offered import Offer, offered
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right
from apps.usage import calls
from apps.usage import selectors as usage

DAYS = 7
MOST_KEYS = 100
CAN = {
    "image_input": "images",
    "pdf_input": "PDF",
    "structured_outputs": "JSON schema",
    "thinking": "thinking",
    "embeddings": "embeddings",
}
OFFERS = {"tools": "tools", "streaming": "streaming"}
HEALTH = {"healthy": "good", "partly healthy": "warn", "failing": "bad", "nobody serves it": "bad"}


@page()
def models(visit: Visit) -> HttpResponse:
    """`?q=`: a part of its name; `?can=`: an ability; `?key=`: as one of the visitor's newest keys sees them."""
    asked = {name: visit.request.GET.get(name, "").strip()[:120] for name in ("q", "can", "key")}
    newest = selfservice.keys_of(visit.user, visit.tenant).filter(revoked_at=None).order_by("-pk")[:MOST_KEYS]
    mine = sorted(newest, key=lambda row: row.name.casefold())
    key = next((row for row in mine if str(row.pk) == asked["key"]), None)
    speeds = calls.speeds(visit.tenant.pk, since=timezone.now() - timedelta(days=DAYS))
    rows = [_row(offer, speeds) for offer in offered(visit.tenant.pk, key=key)]
    found = [row for row in rows if _fits(row, asked)]
    return visit.show(
        "portal/models.html",
        rows=found,
        asked=asked,
        has_any=bool(rows),
        is_filtered=any(asked.values()),
        keys=mine,
        abilities=sorted({word for row in rows for word in row["can"]}),
        days=DAYS,
        newest=calls.NEWEST,
    )


@page()
def one(visit: Visit, model: int) -> HttpResponse:
    offer = next((offer for offer in offered(visit.tenant.pk) if offer.model.id == model), None)
    if offer is None:
        raise Http404("There is no such model.")
    now = timezone.now()
    mine = {} if visit.may(Right.SEE_ALL_USAGE) else {"user_id": visit.user.pk}
    speeds = calls.speeds(visit.tenant.pk, since=now - timedelta(days=DAYS), model_id=model)
    return visit.show(
        "portal/model.html",
        **_row(offer, speeds),
        places=[_place(place) for place in offer.places],
        week=usage.spent(now, days=DAYS, tenant_id=visit.tenant.pk, model_id=model, **mine),
        is_mine=bool(mine),
        may_call=visit.may(Right.CALL),
        days=DAYS,
        newest=calls.NEWEST,
    )


def _row(offer: Offer, speeds: dict[int, calls.Speed]) -> dict[str, Any]:
    """The price is that of whoever is asked first."""
    model = offer.model
    described = abilities.described(model)
    served = frozenset().union(*(abilities.offered(place.deployment, model) for place in offer.places))
    health = _health(offer)
    return {
        "model": model,
        "aliases": sorted(model.aliases),
        "can": [word for name, word in CAN.items() if described[name]["supported"]]
        + [word for name, word in OFFERS.items() if name in served and not described["embeddings"]["supported"]],
        "price": offer.places[0].price if offer.places else None,
        "health": health,
        "tone": HEALTH[health],
        "tags": sorted({tag for place in offer.places for tag in place.deployment.provider.tags}),
        "regions": sorted({place.deployment.provider.region for place in offer.places} - {""}),
        "speed": speeds.get(model.id),
        "is_confined": model.networks is not None,
    }


def _place(place: Any) -> dict[str, Any]:
    deployment = place.deployment
    provider = deployment.provider
    return {
        "provider": provider.name,
        "upstream": deployment.upstream_model,
        "price": place.price,
        "tags": sorted(provider.tags),
        "region": provider.region,
        "is_healthy": provider.healthy,
        "is_fallback": deployment.tier > 0,
    }


def _health(offer: Offer) -> str:
    up = [place.deployment.provider.healthy for place in offer.places]
    if not up:
        return "nobody serves it"
    return "healthy" if all(up) else "partly healthy" if any(up) else "failing"


def _fits(row: dict[str, Any], asked: dict[str, str]) -> bool:
    names = [row["model"].name, row["model"].display_name, *row["aliases"]]
    is_named = any(asked["q"].casefold() in name.casefold() for name in names)
    return is_named and (not asked["can"] or asked["can"] in row["can"])
