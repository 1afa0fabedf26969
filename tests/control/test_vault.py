"""A sealed secret opens in its place, under the right keyring, and nowhere else."""

from __future__ import annotations

import threading
import time

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from apps.catalog import canary, checks, data_keys, sealing, vault
from apps.catalog.keyrings.ring import KeyringRefused
from apps.catalog.models import Canary, DataKey
from tests import factories

SECRET = "sk-ant-0123456789abcdef"
ONE = "1:first-value-of-a-keyring"
TWO = "2:second-value-of-a-keyring"
PLACE = vault.Place("catalog_credential", "ciphertext", 1, None, "anthropic https://api.anthropic.com")


@pytest.fixture(autouse=True)
def _a_keyring_of_one(settings, db):
    settings.WEIR_KEYRING = ONE


def test_what_was_sealed_opens_in_its_place():
    assert vault.open_one(vault.seal(SECRET, place=PLACE).text, place=PLACE) == SECRET


def test_a_sealed_text_has_the_written_format_and_never_repeats():
    texts = [vault.seal(SECRET, place=PLACE).text for _ in range(50)]
    assert len({text.split(".")[2] for text in texts}) == 50
    version, name, nonce, sealed = texts[0].split(".")
    assert (version, name) == ("v1", DataKey.objects.get().pk.hex)
    assert len(nonce) == 16  # 96 bits, base64url
    assert len(sealed) == -(-(len(SECRET) + 16) * 4 // 3)  # with the tag of 128 bits
    assert SECRET not in texts[0]


@pytest.mark.attack("F25")
@pytest.mark.parametrize(
    "elsewhere",
    [
        {"table": "other_table"},
        {"column": "other_column"},
        {"row": 2},
        {"tenant_id": 7},
        {"binding": "anthropic https://evil.example"},
    ],
)
def test_a_sealed_text_that_was_moved_does_not_open(elsewhere):
    text = vault.seal(SECRET, place=PLACE).text
    assert vault.open_one(text, place=PLACE) == SECRET  # remembered, which must not help
    with pytest.raises(vault.SecretUnreadable):
        vault.open_one(text, place=PLACE._replace(**elsewhere))


@pytest.mark.attack("F25")
@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_damaged_text_does_not_open(part):
    parts = vault.seal(SECRET, place=PLACE).text.split(".")
    parts[part] = ("B" if parts[part][0] == "A" else "A") + parts[part][1:]
    with pytest.raises(vault.SecretUnreadable):
        vault.open_one(".".join(parts), place=PLACE)


@pytest.mark.parametrize("junk", ["", "v1", "v2.a.b.c", "v1.a.b.c", "v1.a.b.c.d", "v1.ä.ö.ü", "plain text"])
def test_junk_does_not_open_and_breaks_nothing(junk):
    assert vault.open_all([(junk, PLACE)]) == [None]


def test_each_tenant_has_a_key_of_its_own(acme, globex):
    for tenant_id in (None, acme.pk, globex.pk, acme.pk, None):
        vault.seal(SECRET, place=PLACE._replace(tenant_id=tenant_id))
    assert DataKey.objects.count() == 3
    for tenant_id in (None, acme.pk):
        with pytest.raises(IntegrityError), transaction.atomic():
            DataKey.objects.create(tenant_id=tenant_id, kek_version=1, wrapped="x")


def test_a_fingerprint_tells_equal_secrets_of_one_tenant_only(acme):
    first, again = vault.seal(SECRET, place=PLACE), vault.seal(SECRET, place=PLACE._replace(row=2))
    other, elsewhere = (
        vault.seal(SECRET + "x", place=PLACE),
        vault.seal(SECRET, place=PLACE._replace(tenant_id=acme.pk)),
    )
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, other.fingerprint, elsewhere.fingerprint}) == 3


@pytest.mark.attack("F25", "F31")
def test_deleting_a_data_key_shreds_its_secrets(acme):
    place = PLACE._replace(tenant_id=acme.pk)
    text = vault.seal(SECRET, place=place).text
    DataKey.objects.all().delete()
    vault.forget()
    with pytest.raises(vault.SecretUnreadable):
        vault.open_one(text, place=place)


def test_many_texts_open_by_one_query_and_then_by_none(acme, globex, django_assert_num_queries):
    places = [PLACE._replace(row=row, tenant_id=(None, acme.pk, globex.pk)[row % 3]) for row in range(30)]
    texts = [(vault.seal(f"{SECRET}{place.row}", place=place).text, place) for place in places]
    with django_assert_num_queries(1):
        assert vault.open_all(texts) == [f"{SECRET}{row}" for row in range(30)]
    with django_assert_num_queries(0):
        vault.open_all(texts)


def test_an_opened_text_is_forgotten_after_a_while(monkeypatch, django_assert_num_queries):
    texts = [(vault.seal(SECRET, place=PLACE).text, PLACE)]
    monkeypatch.setattr(data_keys, "REMEMBERED_SECONDS", 0.0)
    for _ in range(2):
        with django_assert_num_queries(1):
            assert vault.open_all(texts) == [SECRET]


def test_what_has_expired_is_dropped_though_nobody_asks_for_it(monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    memory = data_keys.Memory(capacity=10)
    memory.put("first", 1)
    memory.put("again", 2)
    now += data_keys.REMEMBERED_SECONDS / 2
    memory.put("first", 3)  # anew, and so after the other
    now += data_keys.REMEMBERED_SECONDS / 2
    assert memory.get("again") is None
    memory.put("later", 4)
    assert (len(memory), memory.get("first")) == (2, 3)
    now += data_keys.REMEMBERED_SECONDS
    vault._memory.put(("a", b""), "text")
    memory.sweep()
    assert len(memory) == 0
    now += data_keys.REMEMBERED_SECONDS
    vault.sweep()
    assert len(vault._memory) == 0


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(vault._memory, "_capacity", 3)
    texts = [(vault.seal(SECRET, place=PLACE).text, PLACE) for _ in range(10)]
    vault.open_all(texts)
    assert len(vault._memory) == 3


@pytest.mark.django_db(transaction=True)
def test_processes_that_seal_at_once_share_one_data_key():
    start, texts = threading.Barrier(4), []

    def seal():
        start.wait()
        try:
            with transaction.atomic():
                texts.append(vault.seal(SECRET, place=PLACE).text)
        finally:
            connection.close()

    threads = [threading.Thread(target=seal) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert DataKey.objects.count() == 1
    assert vault.open_all([(text, PLACE) for text in texts]) == [SECRET] * 4


# --- the keyring at start --------------------------------------------------------------------------------------


def test_the_right_keyring_is_accepted_again_and_again():
    canary.verify()
    vault.seal(SECRET, place=PLACE)
    canary.verify()
    assert list(Canary.objects.values_list("kek_version", flat=True)) == [1]
    assert checks.check_keyring_fits(databases=["default"]) == []


def test_a_canary_of_an_earlier_installation_still_sings(settings):
    key = sealing.derived(b"first-value-of-a-keyring", purpose="kek 1")
    Canary.objects.create(
        kek_version=1, sealed=sealing.seal("weir canary", key=key, name="canary", data=b"v1|canary|1")
    )
    canary.verify()
    settings.WEIR_KEYRING = "1:another-value-altogether"
    with pytest.raises(KeyringRefused, match="not the key"):
        canary.verify()


def test_another_keyring_is_refused_before_anything_was_sealed(settings):
    canary.verify()
    settings.WEIR_KEYRING = "1:another-value-altogether"
    with pytest.raises(KeyringRefused, match="not the key that this database was used with"):
        canary.verify()
    assert [message.id for message in checks.check_keyring_fits(databases=["default"])] == ["weir.E003"]


def test_another_keyring_is_refused_even_where_the_canary_died(settings):
    vault.seal(SECRET, place=PLACE)
    Canary.objects.all().delete()
    settings.WEIR_KEYRING = "1:another-value-altogether"
    with pytest.raises(KeyringRefused, match="does not open"):
        canary.verify()
    assert not Canary.objects.exists()


def test_a_version_with_secrets_under_it_cannot_be_taken_off_the_keyring(settings):
    vault.seal(SECRET, place=PLACE)
    settings.WEIR_KEYRING = TWO
    with pytest.raises(KeyringRefused, match="lacks version 1"):
        canary.verify()


def test_a_keyring_that_repeats_another_secret_is_told(settings):
    settings.WEIR_KEYRING = f"1:{settings.SECRET_KEY}"
    assert [message.id for message in checks.check_keyring_is_its_own()] == ["weir.E002"]
    settings.WEIR_KEYRING = ONE
    assert checks.check_keyring_is_its_own() == []


@pytest.mark.attack("F25")
def test_no_secret_is_anywhere_in_the_database_in_clear(acme):
    factories.credential(tenant=acme)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                for value in row:
                    raw = bytes(value) if isinstance(value, memoryview) else value
                    text = raw.decode("latin-1") if isinstance(raw, bytes) else str(raw)
                    assert SECRET not in text
                    assert SECRET[-12:] not in text
    assert settings.WEIR_KEYRING == ONE
