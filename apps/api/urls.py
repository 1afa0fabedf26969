"""`/api/v1`: every resource, what describes them, and a readable error for all that leads nowhere."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.api import pages, problems
from apps.api.resources import (
    alerts,
    audit,
    books,
    budget_periods,
    budgets,
    cache_policies,
    charges,
    configuration,
    costs,
    credentials,
    data_policies,
    deployments,
    endpoints,
    entries,
    explain,
    fallbacks,
    health,
    identities,
    identity_providers,
    increases,
    interventions,
    issuers,
    keys,
    limits,
    managed_settings,
    me,
    members,
    models,
    networks,
    policy_assignments,
    policy_trial,
    prices,
    programs,
    projects,
    providers,
    reconciliation,
    refusals,
    rollups,
    schedules,
    sinks,
    tenants,
    tokens,
    unconfirmed,
    users,
    what_if,
)

VIEWS: tuple[Any, ...] = (
    *(me.Me, tokens.Tokens, users.Users, tenants.Tenants, projects.Projects, members.Members, keys.Keys),
    *(identities.Identities, identities.SecondFactors, identity_providers.IdentityProviders),
    *(issuers.Issuers, programs.Programs, managed_settings.ManagedSettings),
    *(limits.Limits, budgets.Budgets, budget_periods.BudgetPeriods, increases.Increases),
    *(providers.Providers, credentials.Credentials, models.Models, deployments.Deployments, fallbacks.Fallbacks),
    *(prices.Prices, endpoints.Endpoints, networks.Networks),
    *(data_policies.DataPolicies, policy_assignments.PolicyAssignments, cache_policies.CachePolicies),
    *(interventions.Interventions, policy_trial.PolicyTrial),
    *(alerts.AlertRules, alerts.AlertDestinations, alerts.Alerts, sinks.Sinks, sinks.UndeliveredEvents),
    *(entries.Entries, rollups.Rollups, refusals.Refusals, costs.Costs, unconfirmed.Unconfirmed),
    *(charges.Focus, what_if.PriceWhatIf, what_if.BudgetWhatIf),
    *(reconciliation.ReportSources, reconciliation.ProviderNames, reconciliation.ProviderReports),
    *(reconciliation.ReportDifferences, reconciliation.Adjustments),
    *(books.Verifications, books.Gaps, books.SealedMonths, books.Replicas),
    *(audit.Records, explain.Explain, health.Health, schedules.Schedules, configuration.Configuration),
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
