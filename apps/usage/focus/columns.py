"""The columns of FOCUS 1.0 (focus.finops.org, "FOCUS specification v1.0", section 2), and what of usage stands in each.

Weir knows what calls cost, and no discounts: the four costs are the same, and no unit price stands there, since a row
is of tokens of several prices. Columns of our own begin with `x_`, as the specification wants it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from apps.domain import money

VERSION = "1.0"
DAY = timedelta(days=1)
TOKENS = "Tokens"


class Charge(NamedTuple):
    """What one key spent on one model at one provider on one day of UTC, in the names of its parts."""

    day: datetime
    tenant: tuple[str, str]
    project: tuple[str, str]
    key: tuple[str, str] | None
    user: str
    model: str
    provider: str
    region: str
    endpoint: str
    sums: Mapping[str, int]

    @property
    def tokens(self) -> int:
        names = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total")
        return sum(self.sums[name] for name in names)

    @property
    def is_adjustment(self) -> bool:
        """Money of no call: posted, so that the books agree with what a provider bills."""
        return not self.sums["calls"] and not self.tokens


TEXT, DECIMAL, MOMENT, WHOLE = "text", "decimal", "moment", "whole"
COLUMNS = {
    "AvailabilityZone": TEXT,
    "BilledCost": DECIMAL,
    "BillingAccountId": TEXT,
    "BillingAccountName": TEXT,
    "BillingCurrency": TEXT,
    "BillingPeriodEnd": MOMENT,
    "BillingPeriodStart": MOMENT,
    "ChargeCategory": TEXT,
    "ChargeClass": TEXT,
    "ChargeDescription": TEXT,
    "ChargeFrequency": TEXT,
    "ChargePeriodEnd": MOMENT,
    "ChargePeriodStart": MOMENT,
    "CommitmentDiscountCategory": TEXT,
    "CommitmentDiscountId": TEXT,
    "CommitmentDiscountName": TEXT,
    "CommitmentDiscountStatus": TEXT,
    "CommitmentDiscountType": TEXT,
    "ConsumedQuantity": DECIMAL,
    "ConsumedUnit": TEXT,
    "ContractedCost": DECIMAL,
    "ContractedUnitPrice": DECIMAL,
    "EffectiveCost": DECIMAL,
    "InvoiceIssuerName": TEXT,
    "ListCost": DECIMAL,
    "ListUnitPrice": DECIMAL,
    "PricingCategory": TEXT,
    "PricingQuantity": DECIMAL,
    "PricingUnit": TEXT,
    "ProviderName": TEXT,
    "PublisherName": TEXT,
    "RegionId": TEXT,
    "RegionName": TEXT,
    "ResourceId": TEXT,
    "ResourceName": TEXT,
    "ResourceType": TEXT,
    "ServiceCategory": TEXT,
    "ServiceName": TEXT,
    "SkuId": TEXT,
    "SkuPriceId": TEXT,
    "SubAccountId": TEXT,
    "SubAccountName": TEXT,
    "Tags": TEXT,
    "x_Calls": WHOLE,
    "x_FailedCalls": WHOLE,
    "x_InputTokens": WHOLE,
    "x_CacheReadTokens": WHOLE,
    "x_CacheWriteTokens": WHOLE,
    "x_OutputTokens": WHOLE,
    "x_UnconfirmedCalls": WHOLE,
    "x_EstimatedCalls": WHOLE,
    "x_UnpricedCalls": WHOLE,
    "x_SavedByCache": DECIMAL,
}


def row(charge: Charge) -> dict[str, Any]:
    """By column; what is left out is null."""
    cost = money.dollars(charge.sums["cost_nano"])
    month = charge.day.replace(day=1)
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        **{"BillingAccountId": charge.tenant[0], "BillingAccountName": charge.tenant[1], "BillingCurrency": "USD"},
        **{"BillingPeriodStart": month, "BillingPeriodEnd": (month + 32 * DAY).replace(day=1)},
        **(_adjustment(charge) if charge.is_adjustment else _usage(charge)),
        **{"ChargePeriodStart": charge.day, "ChargePeriodEnd": charge.day + DAY},
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), charge.provider),
        **{"RegionId": charge.region or None, "RegionName": charge.region or None},
        **_resource(charge),
        **{"ServiceCategory": "AI and Machine Learning", "ServiceName": "Large language models"},
        **{"SubAccountId": charge.project[0], "SubAccountName": charge.project[1]},
        "Tags": json.dumps({"endpoint": charge.endpoint, "user": charge.user}, ensure_ascii=False),
        **_own(charge.sums),
    }


def _usage(charge: Charge) -> dict[str, Any]:
    tokens = Decimal(charge.tokens)
    return {
        **{"ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based", "PricingCategory": "Standard"},
        "ChargeDescription": f"{charge.model} at {charge.provider}",
        **{"ConsumedQuantity": tokens, "ConsumedUnit": TOKENS, "PricingQuantity": tokens, "PricingUnit": TOKENS},
        **{"SkuId": charge.model, "SkuPriceId": f"{charge.provider}/{charge.model}"},
    }


def _adjustment(charge: Charge) -> dict[str, Any]:
    """Nothing was consumed, so quantities are null, and no SKU was sold."""
    told = f"Adjustment to what {charge.provider} bills"
    return {"ChargeCategory": "Adjustment", "ChargeFrequency": "One-Time", "ChargeDescription": told}


def _resource(charge: Charge) -> dict[str, str]:
    if charge.key is None:
        return {}
    return {"ResourceId": charge.key[0], "ResourceName": charge.key[1], "ResourceType": "API key"}


def _own(sums: Mapping[str, int]) -> dict[str, Any]:
    return {
        "x_Calls": sums["calls"],
        "x_FailedCalls": sums["errors"],
        "x_InputTokens": sums["in_fresh"],
        "x_CacheReadTokens": sums["in_cache_read"],
        "x_CacheWriteTokens": sums["in_cache_write_5m"] + sums["in_cache_write_1h"],
        "x_OutputTokens": sums["out_total"],
        "x_UnconfirmedCalls": sums["unconfirmed"],
        "x_EstimatedCalls": sums["estimated"],
        "x_UnpricedCalls": sums["unpriced"],
        "x_SavedByCache": money.dollars(sums["saved_nano"]),
    }
