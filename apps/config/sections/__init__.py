"""What the text has, section by section, in the order in which they are brought in."""

from __future__ import annotations

from apps.config.kinds import Kind
from apps.config.secrets import Source
from apps.config.sections.alerts import Destinations
from apps.config.sections.alerts import Rules as Alerts
from apps.config.sections.chores import Schedules
from apps.config.sections.events import Sinks
from apps.config.sections.people import People, Tenants
from apps.config.sections.policies import Caches, Policies, Settings
from apps.config.sections.routing import Endpoints, Models, Networks, Providers
from apps.config.sections.signing_in import IdentityProviders, Issuers
from apps.config.sections.spending import Budgets, Limits


def all_kinds(source: Source) -> tuple[Kind, ...]:
    """`source`: where secrets that the text only names are read."""
    return (
        *(Networks(), People(), Tenants(), Providers(source), Models(), Endpoints()),
        *(Limits(), Budgets(), Policies(), Caches(), Settings()),
        *(IdentityProviders(source), Issuers(), Destinations(source), Alerts(), Sinks(source), Schedules()),
    )
