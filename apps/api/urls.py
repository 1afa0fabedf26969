"""`/api/v1`: every resource, what describes them, and a readable error for all that leads nowhere."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.api import pages, problems
from apps.api.resources import (
    audit,
    books,
    budgets,
    cache_policies,
    costs,
    credentials,
    data_policies,
    deployments,
    endpoints,
    entries,
    explain,
    fallbacks,
    health,
    interventions,
    keys,
    limits,
    me,
    members,
    models,
    networks,
    policy_assignments,
    prices,
    projects,
    providers,
    rollups,
    tenants,
    tokens,
    unconfirmed,
    users,
)

VIEWS: tuple[Any, ...] = (
    *(me.Me, tokens.Tokens, users.Users, tenants.Tenants, projects.Projects, members.Members, keys.Keys),
    *(limits.Limits, budgets.Budgets),
    *(providers.Providers, credentials.Credentials, models.Models, deployments.Deployments, fallbacks.Fallbacks),
    *(prices.Prices, endpoints.Endpoints, networks.Networks),
    *(data_policies.DataPolicies, policy_assignments.PolicyAssignments, cache_policies.CachePolicies),
    interventions.Interventions,
    *(entries.Entries, rollups.Rollups, costs.Costs, unconfirmed.Unconfirmed),
    *(books.Verifications, books.Gaps, books.SealedMonths),
    *(audit.Records, explain.Explain, health.Health),
)

app_name = "api"
router = SimpleRouter(trailing_slash=False)
for view in VIEWS:
    router.register(view.place, view, basename=view.place.replace("/", "-"))

urlpatterns = [
    *router.urls,
    path("openapi.yaml", pages.description, name="description"),
    path("docs/", pages.documentation, name="documentation"),
    re_path(r"", problems.lost),
]
