"""What one tenant does is nothing to another: its pages are the same, byte by byte, before and after."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from apps.domain import money
from apps.portal import feed
from apps.portal.feed import Subject
from apps.quotas import services as quotas
from apps.quotas.models import Budget
from apps.tenants import invitations
from apps.tenants.models import Role
from apps.usage import ledger, rollups
from apps.usage.models import Entry
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
    request, visit, acme, globex, website, alice, charlie, time_machine, figure, who
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
    figure("F27", f"pages of the portal that are as before ({who})", len(names), least=20)


def test_what_is_taken_away_and_what_is_seen_live_stays_as_it_was(
    visit, acme, globex, website, alice, charlie, time_machine, figure
):
    """Files, each page of what is one's own, and the frames of the live page."""
    now = timezone.now()
    time_machine.move_to(now, tick=False)
    own = factories.project(globex, "Own")
    traffic(globex, own, charlie)
    visitor = visit(charlie, at=globex)
    key, budget = own.keys.get(), Budget.objects.get(project=own)
    entry = Entry.objects.filter(tenant_id=globex.pk).latest("pk")
    member = globex.memberships.get(user=charlie)
    arguments = {"key": key.pk, "budget": budget.pk, "project": own.pk, "member": member.pk, "entry": entry.pk}
    single = {name: wanted for name, wanted in pages().items() if wanted and {*wanted} <= arguments.keys()}
    theirs = [Subject(globex.pk), Subject(globex.pk, charlie.pk)]

    def seen() -> dict[str, object]:
        found: dict[str, object] = {}
        for name in [*(each for each in MAY if each.endswith("-export")), "costs-focus", *(single.keys() - POSTED)]:
            response = visitor.get(name, **{each: arguments[each] for each in single.get(name, ())})
            body = b"".join(response.streaming_content) if response.streaming else response.content
            found[name] = (response.status_code, TOKEN.sub(b"", body))
        return found | feed.Reader().read(theirs, now=now.timestamp())

    seen()
    before = seen()
    traffic(acme, website, alice)
    assert seen() == before
    assert len(before) > 15
    assert all(before[name][0] in (200, 302, 403, 404) for name in before if isinstance(name, str))
    figure("F27", "files, pages of one thing and live frames that are as before", len(before), least=15)
