"""Every form and service that takes a URL from a person refuses an inward one when it is saved, however it is spelt.

Where it is called, it is judged again: see tests/outbound/test_ways_out.py. Two are judged there alone, as networks are
opened and closed: of a token's issuer, and of a broker, only the spelling is looked at here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.alerts import services as alerts
from apps.catalog import services as catalog
from apps.events import services as events
from apps.keys import issuers
from apps.outbound.guard import AddressRefused, parse
from apps.reconciliation import services as reconciliation
from apps.signin import services as signin
from tests import factories
from tests.outbound.test_guard import INWARD, LOOPBACK_SPELLINGS, METADATA_SPELLINGS

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F24")]

_numbers = itertools.count()
SPELT = [*LOOPBACK_SPELLINGS, *METADATA_SPELLINGS, *INWARD]
FIELDS = ("base_url", "target", "issuer", "address", "settings")


def _provider(url: str) -> Any:
    told = {"vendor": "openai_compatible", "protocol": "openai_chat", "base_url": f"{url}/v1"}
    return catalog.create_provider(actor=None, name=f"p{next(_numbers)}", **told)


def _moved(url: str) -> Any:
    return catalog.update_provider(factories.provider(), actor=None, base_url=f"{url}/v1")


def _sink(url: str) -> Any:
    return events.create_sink(actor=None, name=f"s{next(_numbers)}", kind="webhook", target=url)


def _destination(kind: str, *, of_tenant: bool) -> Callable[[str], Any]:
    def made(url: str) -> Any:
        told = {"name": f"d{next(_numbers)}", "kind": kind, "target": url}
        return alerts.create_destination(actor=None, tenant=factories.tenant() if of_tenant else None, **told)

    return made


def _identity_provider(url: str) -> Any:
    return signin.create_provider(
        actor=None, name=f"i{next(_numbers)}", slug=f"i{next(_numbers)}", issuer=url, client_id="c"
    )


def _reports(url: str) -> Any:
    told = {"vendor": "openai", "address": url, "secret": "s" * 20}
    return reconciliation.create_source(actor=None, provider=factories.provider(), **told)


def _pubsub(url: str) -> Any:
    told = {"target": "projects/my-project/topics/weir", "settings": {"endpoint": url.partition("://")[2]}}
    return events.create_sink(actor=None, name=f"t{next(_numbers)}", kind="pubsub", **told)


PLACES: dict[str, Callable[[str], Any]] = {
    "a provider's address": _provider,
    "a provider's other address": _moved,
    "a webhook of events": _sink,
    "a webhook of operators' alerts": _destination("webhook", of_tenant=False),
    "a chat of operators": _destination("slack", of_tenant=False),
    "a webhook of a tenant's alerts": _destination("webhook", of_tenant=True),
    "an identity provider": _identity_provider,
    "a vendor's reports": _reports,
    "an endpoint of Pub/Sub": _pubsub,
}


@pytest.mark.parametrize("place", PLACES)
def test_no_inward_address_is_saved(place: str, figure: Any) -> None:
    catalog.allow_network(actor=None, cidr="10.77.0.0/16")  # so that plain HTTP is not what they are refused for
    tries = [f"{scheme}://{host}:8443" for host in SPELT for scheme in ("http", "https")]
    saved = []
    for url in tries:
        try:
            PLACES[place](url)
        except ValidationError as refused:
            if set(FIELDS) & refused.message_dict.keys():
                continue
        saved.append(url)
    assert saved == []
    figure("F24", f"spellings that {place} refuses", len(tries), least=80)


@pytest.mark.parametrize("place", PLACES)
def test_an_address_of_this_kind_is_saved(place: str) -> None:
    """So the others were refused for what they are."""
    url = "https://europe-west1-pubsub.googleapis.com:443" if "Pub/Sub" in place else "https://there.example:8443"
    PLACES[place](url)


def _issuer(host: str) -> Any:
    told = {"url": f"https://{host}/", "audiences": ["weir"], "algorithms": ["RS256"], "tenant": factories.tenant()}
    return issuers.create_issuer(actor=None, name=f"j{next(_numbers)}", **told)


def _broker(host: str) -> Any:
    return events.create_sink(actor=None, name=f"b{next(_numbers)}", kind="rabbitmq", target=f"amqp://weir@{host}/")


def _is_plain(host: str) -> bool:
    try:
        parse(f"https://{host}/")
    except AddressRefused:
        return False
    return True


def test_an_odd_spelling_is_no_address_of_an_issuer_or_a_broker_either() -> None:
    odd = [host for host in SPELT if not _is_plain(host)]
    assert len(odd) > 20
    for host in odd:
        for make, field in ((_issuer, "url"), (_broker, "target")):
            with pytest.raises(ValidationError) as refused:
                make(host)
            assert field in refused.value.message_dict, (host, refused.value)
