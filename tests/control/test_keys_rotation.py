"""A key is rotated without losing its identity."""

from __future__ import annotations

import datetime
import time

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.audit.models import Record
from apps.domain import keys as format_of_keys
from apps.keys import selectors, services
from apps.keys.models import Key
from tests import factories

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


def issue(project, **fields):
    return factories.key(project, **fields)


def works(plaintext):
    found = selectors.principal(plaintext)
    now = time.time()
    return found is not None and not any(at is not None and at <= now for at in (found.expires_at, found.revoked_at))


def test_rotation_keeps_the_identity_and_both_secrets_work_during_the_overlap(website, alice):
    first = issue(website)
    old = selectors.principal(first.plaintext)
    second = services.rotate(first.key, actor=alice, overlap=DAY)
    found = [selectors.principal(plaintext) for plaintext in (first.plaintext, second.plaintext)]
    assert [principal.key_id for principal in found] == [old.key_id] * 2
    assert [principal.public_id for principal in found] == [old.public_id, second.key.public_id]
    assert old.public_id != second.key.public_id == Key.objects.get().public_id
    assert works(first.plaintext)
    assert works(second.plaintext)
    assert abs(found[0].expires_at - (time.time() + DAY.total_seconds())) < 60
    assert found[1].expires_at is None


def test_rotation_without_an_overlap_ends_the_old_secret_at_once(website):
    first = issue(website)
    second = services.rotate(first.key, actor=None)
    assert not works(first.plaintext)
    assert works(second.plaintext)


def test_the_old_secret_ends_with_the_overlap(website, time_machine):
    time_machine.move_to(datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC), tick=False)
    first = issue(website)
    second = services.rotate(first.key, actor=None, overlap=DAY)
    time_machine.shift(DAY - datetime.timedelta(seconds=1))
    assert works(first.plaintext)
    time_machine.shift(1)
    assert not works(first.plaintext)
    assert works(second.plaintext)


def test_a_second_rotation_does_not_prolong_what_the_first_ended(website):
    first = issue(website)
    services.rotate(first.key, actor=None, overlap=DAY)
    before = selectors.principal(first.plaintext).expires_at
    services.rotate(first.key, actor=None, overlap=7 * DAY)
    assert selectors.principal(first.plaintext).expires_at == before


def test_the_keys_own_expiry_holds_for_every_secret(website):
    first = issue(website, expires_at=timezone.now() + DAY)
    second = services.rotate(first.key, actor=None, overlap=7 * DAY)
    ends = {selectors.principal(issued.plaintext).expires_at for issued in (first, second)}
    assert ends == {int(first.key.expires_at.timestamp())}


@pytest.mark.parametrize("overlap", [datetime.timedelta(seconds=-1), datetime.timedelta(days=31)])
def test_an_overlap_has_its_bounds(website, overlap):
    first = issue(website)
    with pytest.raises(ValidationError):
        services.rotate(first.key, actor=None, overlap=overlap)
    assert works(first.plaintext)


def test_rotation_is_recorded_without_a_secret(website, alice):
    first = issue(website)
    second = services.rotate(first.key, actor=alice, overlap=DAY)
    row = Record.objects.latest("id")
    assert (row.action, row.actor_id) == ("key.rotated", alice.pk)
    assert (row.before["public_id"], row.after["public_id"]) == (
        format_of_keys.public_id(first.plaintext),
        second.key.public_id,
    )
    assert second.plaintext[18:] not in str((row.before, row.after))
    assert Key.objects.get().revision == row.revision


def test_what_has_ended_is_not_rotated(website, time_machine):
    revoked, expiring = issue(website).key, issue(website, expires_at=timezone.now() + DAY).key
    services.revoke(revoked, actor=None)
    time_machine.move_to(timezone.now() + 2 * DAY)
    for key in (revoked, expiring):
        with pytest.raises(ValidationError):
            services.rotate(key, actor=None)
