"""What one tenant does is nothing to another: its pages are the same, byte by byte, before and after."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from apps.domain import money
from apps.quotas import services as quotas
from apps.tenants import invitations
from apps.tenants.models import Role
from apps.usage import ledger, rollups
from tests import factories
from tests.money.calls import intent, outcome
from tests.portal.test_refused import refuse
from tests.portal.test_who_may import MAY, POSTED, pages

pytestmark = pytest.mark.attack("F27")

TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')


def traffic(tenant, project, user) -> None:
    """Calls that cost, and all that people may make."""
    key = factories.key(project, name="Theirs", user=user).key
    quotas.create_budget(actor=user, project=project, amount=money.NANO, period="month")
    factories.project(tenant, "Another of theirs")
    invitations.invite(tenant, actor=user, email="new@example.com", role=Role.VIEWER)
    for number in range(5):
        asked = intent(
            tenant_id=tenant.pk,
            project_id=project.pk,
            key_id=key.pk,
            user_id=user.pk,
            at=timezone.now().timestamp() - 4_000 * number,
        )
        ledger.post([outcome(asked, cost=10**9)])
    refuse(key, "requests", times=3)
    rollups.roll_up()


@pytest.mark.parametrize("who", ["charlie", "gina"])
def test_a_tenants_pages_are_the_same_whatever_another_does(
    request, visit, acme, globex, website, alice, charlie, time_machine, who
):
    """To its owner, and to a developer."""
    time_machine.move_to(timezone.now(), tick=False)
    factories.member(globex, "gina", Role.DEVELOPER)
    own = factories.project(globex, "Own")
    traffic(globex, own, charlie)
    user = charlie if who == "charlie" else globex.memberships.get(user__username="gina").user
    visitor = visit(user, at=globex)
    lists = [name for name in MAY if name not in POSTED and not pages()[name]]
    names = [name for name in lists if not name.endswith("-export")]  # what is taken away is recorded, each time

    def seen() -> dict[str, bytes]:
        found = {}
        for name in names:
            response = visitor.get(name)
            body = b"".join(response.streaming_content) if response.streaming else response.content
            found[name] = TOKEN.sub(b"", body)
        return found

    seen()  # looking leaves a trace in the audit log, once a day
    before = seen()
    traffic(acme, website, alice)
    after = seen()
    assert [name for name in names if before[name] != after[name]] == []
    assert len(names) > 20
