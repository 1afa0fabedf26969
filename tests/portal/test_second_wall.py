"""The second wall takes nothing from what members may see: every page is the same with it and without."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.keys.models import Key
from apps.runtime import walls
from apps.usage import rollups
from tests import factories
from tests.portal.test_isolation import TOKEN, traffic
from tests.portal.test_who_may import MAY, POSTED, answer
from tests.portal.test_who_may import things as of_acme  # noqa: F401  # a fixture

pytestmark = [pytest.mark.attack("F27"), pytest.mark.postgresql]


@pytest.mark.parametrize("who", ["alice", "ann", "bob", "vera"])
def test_pages_say_the_same_with_the_wall_and_without(
    request,
    visit,
    of_acme,  # noqa: F811
    acme,
    globex,
    website,
    alice,
    charlie,
    settings,
    time_machine,
    who,
):
    time_machine.move_to(timezone.now(), tick=False)
    traffic(acme, website, alice)
    traffic(globex, factories.project(globex, "Own"), charlie)
    rollups.roll_up()
    visitor = visit(request.getfixturevalue(who))
    names = [name for name in MAY if name not in POSTED]

    def seen() -> dict[str, tuple[int, bytes]]:
        answers = {name: answer(visitor, name, of_acme) for name in names}
        return {name: (one.status_code, body(one)) for name, one in answers.items()}

    seen()  # looking leaves a trace in the audit log, once a day
    behind = seen()
    settings.WEIR_SECOND_WALL = False
    assert [name for name, told in seen().items() if told != behind[name]] == []
    assert {status for status, _ in behind.values()} <= {200, 302, 403, 404}


def test_the_wall_is_up_while_pages_are_made(visit, alice, website, monkeypatch):
    """Else the test above would compare nothing."""
    up = []
    told = Key.__str__
    monkeypatch.setattr(Key, "__str__", lambda key: (up.append(walls.is_up()), told(key))[1])
    factories.key(website, name="Laptop", user=alice)
    up.clear()
    assert "Laptop" in visit(alice).text("keys")
    assert up == [] or set(up) == {True}


def body(response) -> bytes:
    told = b"".join(response.streaming_content) if response.streaming else response.content
    return TOKEN.sub(b"", told)
