"""Digests of keys hang on a pepper that is kept under the keyring, and move to another one as keys are used."""

from __future__ import annotations

import datetime
import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.utils import timezone

from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.catalog import data_keys, vault
from apps.catalog import rotation as catalog_rotation
from apps.catalog.keyrings.ring import KeyringRefused
from apps.catalog.models import DataKey, Purpose
from apps.domain import keys as format_of_keys
from apps.keys import peppers, rotation, selectors, services, uses
from apps.keys.models import Key, KeySecret
from tests import factories

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


def run(*arguments):
    output = StringIO()
    call_command("secrets", *arguments, stdout=output)
    return output.getvalue()


def told():
    return [tuple(row.values()) for row in json.loads(run("verify", "--json"))["peppers"]]


def use(plaintext):
    """As a gateway that meets the key for the first time, and then writes down what it has noted."""
    noted = uses.Uses()
    found = selectors.principal(plaintext, outdated=noted.outdated)
    noted.flush()
    return found


def of_before(website, settings):
    """A key from before peppers were kept in the database."""
    settings.WEIR_KEY_PEPPER = "pepper-of-old-installations"
    issued = factories.key(website)
    digest = format_of_keys.digest(issued.plaintext, pepper=settings.WEIR_KEY_PEPPER.encode())
    KeySecret.objects.filter(key=issued.key).update(digest=digest, pepper=None)
    return issued


def test_a_pepper_is_made_once_and_kept_under_the_keyring(website):
    factories.key(website)
    factories.key(website)
    row = DataKey.objects.get(purpose=Purpose.API_KEYS)
    assert (row.tenant, row.version, row.kek_version) == (None, 1, 1)
    assert set(KeySecret.objects.values_list("pepper", flat=True)) == {row.pk}


def test_looking_a_key_up_costs_one_query(website, django_assert_num_queries):
    first = factories.key(website)
    with django_assert_num_queries(1):
        assert selectors.principal(first.plaintext).key_id == first.key.pk
    rotation.rotate_pepper()
    second = factories.key(website)
    for issued in (first, second):
        with django_assert_num_queries(1):
            assert selectors.principal(issued.plaintext).key_id == issued.key.pk


def test_another_secret_under_a_known_public_id_opens_nothing(website):
    issued = factories.key(website)
    body = issued.plaintext[: -format_of_keys.CHECK_LENGTH - 1] + "0"
    body = body if body != issued.plaintext[: -format_of_keys.CHECK_LENGTH] else body[:-1] + "1"
    forged = body + format_of_keys._checksum(body)
    assert format_of_keys.public_id(forged) == issued.key.public_id
    assert selectors.principal(forged) is None


def test_after_a_rotation_old_and_new_keys_work(website):
    first = factories.key(website)
    assert run("rotate-pepper").startswith("New keys hang on pepper 2;")
    second = factories.key(website)
    assert told() == [(1, False, 1, 0), (2, True, 1, 0)]
    assert selectors.principal(first.plaintext).key_id == first.key.pk
    assert selectors.principal(second.plaintext).key_id == second.key.pk


def test_a_key_that_is_used_moves_to_the_new_pepper_and_goes_on_working(website):
    first, unused = factories.key(website), factories.key(website)
    before = bytes(KeySecret.objects.get(key=first.key).digest)
    new = rotation.rotate_pepper()
    for _ in range(2):
        assert use(first.plaintext).key_id == first.key.pk
    secret = KeySecret.objects.get(key=first.key)
    assert secret.pepper_id == new.pk
    assert bytes(secret.digest) != before
    assert told() == [(1, False, 1, 0), (2, True, 1, 0)]
    assert selectors.principal(unused.plaintext) is not None


def test_looking_up_writes_nothing(website, django_assert_num_queries):
    first = factories.key(website)
    rotation.rotate_pepper()
    noted = uses.Uses()
    with django_assert_num_queries(2):  # the key, and the newest pepper
        selectors.principal(first.plaintext, outdated=noted.outdated)
    assert KeySecret.objects.get().pepper.version == 1
    with django_assert_num_queries(4):  # two, and a transaction around them
        rotation.make_anew(noted._outdated)
    assert KeySecret.objects.get().pepper.version == 2


def test_what_could_not_be_written_is_written_the_next_time(website, monkeypatch):
    monkeypatch.setattr(uses, "_BATCH", 2)
    issued = [factories.key(website) for _ in range(5)]
    new = rotation.rotate_pepper()
    noted = uses.Uses()
    for each in issued:
        selectors.principal(each.plaintext, outdated=noted.outdated)

    def refused_once(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not refused:
            refused.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    refused: list[str] = []
    with connection.execute_wrapper(refused_once), pytest.raises(OperationalError):
        noted.flush()
    noted.flush()
    assert set(KeySecret.objects.values_list("pepper", flat=True)) == {new.pk}
    assert run("retire-pepper") == "One pepper is left. Keys revoked: 0.\n"


def test_a_secret_that_was_rotated_meanwhile_is_left_alone(website):
    first = factories.key(website)
    rotation.rotate_pepper()
    noted = uses.Uses()
    selectors.principal(first.plaintext, outdated=noted.outdated)
    KeySecret.objects.update(digest=b"x" * 32)
    noted.flush()
    assert bytes(KeySecret.objects.get().digest) == b"x" * 32


def test_gateways_hear_of_a_new_pepper_as_of_a_change_of_every_working_key(website):
    issued, revoked = factories.key(website), factories.key(website)
    services.revoke(revoked.key, actor=None)
    before = audit.revisions()["keys"]
    rotation.rotate_pepper()
    assert selectors.changed_since(before) == [issued.key.public_id]


def test_an_old_pepper_stays_while_working_keys_hang_on_it(website):
    first = factories.key(website)
    rotation.rotate_pepper()
    for task in ("retire-pepper", "rotate-pepper"):
        with pytest.raises(CommandError, match="1 working keys have not been used since"):
            run(task)
    assert use(first.plaintext) is not None
    assert run("retire-pepper") == "One pepper is left. Keys revoked: 0.\n"
    assert told() == [(2, True, 1, 0)]
    assert use(first.plaintext) is not None


def test_keys_that_have_ended_hold_no_pepper_back(website, time_machine):
    revoked = factories.key(website)
    services.revoke(revoked.key, actor=None)
    expired = factories.key(website, expires_at=timezone.now() + DAY)
    rotated = factories.key(website)
    services.rotate(rotated.key, actor=None)
    time_machine.move_to(timezone.now() + 2 * DAY)
    digests = {bytes(digest) for digest in KeySecret.objects.values_list("digest", flat=True)}
    rotation.rotate_pepper()
    assert told() == [(1, False, 1, 3), (2, True, 0, 0)]
    KeySecret.objects.filter(key=rotated.key).update(revoked_at=timezone.now())
    rotation.rotate_pepper()
    assert told() == [(2, False, 0, 4), (3, True, 0, 0)]
    assert digests.isdisjoint(bytes(digest) for digest in KeySecret.objects.values_list("digest", flat=True))
    assert all(selectors.principal(issued.plaintext) is None for issued in (revoked, expired, rotated))


def test_a_pepper_that_leaked_is_retired_by_force_and_its_keys_end(website):
    used, unused = factories.key(website), factories.key(website)
    rotation.rotate_pepper()
    use(used.plaintext)
    before = audit.revisions()["keys"]
    assert run("retire-pepper", "--force") == "One pepper is left. Keys revoked: 1.\n"
    assert use(used.plaintext).revoked_at is None
    assert selectors.principal(unused.plaintext) is None
    assert KeySecret.objects.get(key=unused.key).revoked_at is not None
    assert selectors.changed_since(before) == [unused.key.public_id]
    ended = Record.objects.get(action="pepper.keys_ended")
    assert ended.after == {"keys": 1, "secrets": 1}


def test_rotations_are_recorded_without_the_pepper(website):
    factories.key(website)
    rotation.rotate_pepper()
    rotation.retire_pepper(force=True)
    actions = list(Record.objects.filter(action__startswith="pepper.").order_by("pk").values_list("action", flat=True))
    assert actions == ["pepper.made", "pepper.keys_ended", "pepper.retired"]


def test_keys_from_before_move_to_the_pepper_when_they_are_used(website, settings):
    issued = of_before(website, settings)
    assert told() == [(0, False, 1, 0), (1, True, 0, 0)]
    assert use(issued.plaintext).key_id == issued.key.pk
    assert told() == [(1, True, 1, 0)]
    settings.WEIR_KEY_PEPPER = ""
    assert use(issued.plaintext).key_id == issued.key.pk


def test_an_installation_from_before_gets_its_first_pepper_by_a_rotation(website, settings):
    issued = of_before(website, settings)
    DataKey.objects.filter(purpose=Purpose.API_KEYS).delete()
    assert told() == [(0, False, 1, 0)]
    assert use(issued.plaintext) is not None
    assert told() == [(0, False, 1, 0)]  # looking a key up makes no pepper
    before = audit.revisions()["keys"]
    assert run("rotate-pepper").startswith("New keys hang on pepper 1;")
    assert selectors.changed_since(before) == [issued.key.public_id]
    with pytest.raises(CommandError, match="1 working keys"):
        run("rotate-pepper")
    assert use(issued.plaintext) is not None
    assert told() == [(1, True, 1, 0)]


def test_keys_from_before_do_not_work_without_their_pepper(website, settings):
    issued = of_before(website, settings)
    settings.WEIR_KEY_PEPPER = ""
    assert selectors.principal(issued.plaintext) is None


def test_the_pepper_moves_with_the_keyring(website, settings):
    settings.WEIR_KEYRING = "1:first-value-of-a-keyring"
    issued = factories.key(website)
    settings.WEIR_KEYRING = "1:first-value-of-a-keyring,2:second-value-of-a-keyring"
    assert catalog_rotation.rotate_kek() == 1
    settings.WEIR_KEYRING = "2:second-value-of-a-keyring"
    vault.forget()
    assert selectors.principal(issued.plaintext) is not None


def test_a_pepper_is_no_data_key_and_a_data_key_no_pepper(website):
    """Whoever may write to the database still cannot give one the content of the other."""
    factories.key(website)
    DataKey.objects.update(purpose=Purpose.CREDENTIALS)
    vault.forget()
    with pytest.raises(KeyringRefused):
        vault.seal("secret", place=vault.Place("t", "c", 1, None, "b"))


def test_a_copy_of_the_database_neither_makes_nor_checks_a_key(website, settings):
    settings.WEIR_KEYRING = "1:first-value-of-a-keyring"
    issued = factories.key(website)
    digest = bytes(KeySecret.objects.get().digest)
    vault.forget()
    settings.WEIR_KEYRING = "1:whoever-stole-it-has-another"
    with pytest.raises(KeyringRefused):
        selectors.principal(issued.plaintext)
    with pytest.raises(KeyringRefused):
        services.issue(actor=None, tenant=website.tenant, project=website, name="forged")
    assert not [value for value in every_value() if format_of_keys.digest(issued.plaintext, pepper=value) == digest]
    settings.WEIR_KEYRING = "1:first-value-of-a-keyring"
    assert selectors.principal(issued.plaintext) is not None
    pepper = data_keys.opened(peppers.newest())
    assert format_of_keys.digest(issued.plaintext, pepper=pepper) == digest  # the test would find it


def every_value():
    """All that is stored, as bytes and, where it may be an encoding, decoded."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                for value in row:
                    raw = bytes(value) if isinstance(value, memoryview | bytes) else str(value).encode()
                    yield from (raw, *raw.split(b"."))
                    try:
                        yield bytes.fromhex(raw.decode())
                    except ValueError:
                        continue


def test_an_unused_installation_counts_nothing(db):
    assert told() == []
    assert not Key.objects.exists()
