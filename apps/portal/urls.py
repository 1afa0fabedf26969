"""The portal's pages. What is a tenant's lies under its name, so that an address can be given to a colleague."""

from __future__ import annotations

from django.urls import include, path

from apps.portal import (
    audit,
    budgets,
    call,
    costs,
    joining,
    key_changes,
    keys,
    live,
    members,
    models,
    overview,
    playground,
    projects,
    settings,
    start,
    trying,
    usage,
)

app_name = "portal"

tenant_pages = [
    path("", overview.overview, name="overview"),
    path("live/", live.live, name="live"),
    path("live/who/", live.who, name="live-who"),
    path("live/now/", live.now, name="live-now"),
    path("start/", start.start, name="start"),
    path("playground/", playground.playground, name="playground"),
    path("playground/code/", playground.code, name="playground-code"),
    path("playground/secret/", trying.lend, name="playground-lend"),
    path("playground/calls/<str:call>/", trying.outcome, name="playground-outcome"),
    path("keys/", keys.keys, name="keys"),
    path("keys/new/", key_changes.new, name="keys-new"),
    path("keys/<int:key>/", keys.one, name="keys-one"),
    path("keys/<int:key>/edit/", key_changes.edit, name="keys-edit"),
    path("keys/<int:key>/rotate/", key_changes.rotate, name="keys-rotate"),
    path("keys/<int:key>/revoke/", key_changes.revoke, name="keys-revoke"),
    path("keys/<int:key>/issued/", key_changes.issued, name="keys-issued"),
    path("usage/", usage.usage, name="usage"),
    path("usage/calls.csv", usage.export, name="usage-export"),
    path("usage/<uuid:entry>/", call.call, name="usage-call"),
    path("costs/", costs.costs, name="costs"),
    path("costs.csv", costs.export, name="costs-export"),
    path("budgets/", budgets.budgets, name="budgets"),
    path("budgets/new/", budgets.new, name="budgets-new"),
    path("budgets/<int:budget>/", budgets.one, name="budgets-one"),
    path("budgets/<int:budget>/edit/", budgets.edit, name="budgets-edit"),
    path("budgets/<int:budget>/remove/", budgets.remove, name="budgets-remove"),
    path("budgets/<int:budget>/more/", budgets.ask, name="budgets-ask"),
    path("budgets/more/<int:increase>/", budgets.decide, name="budgets-decide"),
    path("members/", members.members, name="members"),
    path("members/invite/", members.invite, name="members-invite"),
    path("members/invited/<int:invitation>/withdraw/", members.withdraw, name="members-withdraw"),
    path("members/<int:member>/", members.one, name="members-one"),
    path("members/<int:member>/remove/", members.remove, name="members-remove"),
    path("projects/", projects.projects, name="projects"),
    path("projects/new/", projects.new, name="projects-new"),
    path("projects/<int:project>/", projects.one, name="projects-one"),
    path("projects/<int:project>/switch/", projects.switch, name="projects-switch"),
    path("audit/", audit.audit, name="audit"),
    path("settings/", settings.settings, name="settings"),
    path("models/", models.models, name="models"),
    path("models/<int:model>/", models.one, name="models-one"),
]

urlpatterns = [
    path("", overview.home, name="home"),
    path("invitations/<str:token>/", joining.invitation, name="invitation"),
    path("live/", live.live_of_all, name="live-all"),
    path("live/who/", live.who_of_all, name="live-who-all"),
    path("live/now/", live.now_of_all, name="live-now-all"),
    path("t/<slug:tenant>/", include(tenant_pages)),
]
