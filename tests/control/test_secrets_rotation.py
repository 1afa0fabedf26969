"""Secrets move to new keys while they are in use, and whoever is interrupted is continued."""

from __future__ import annotations

import io
import json
import threading

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction

from apps.audit.models import Record
from apps.catalog import canary, data_keys, keyring, rotation, selectors, services, vault
from apps.catalog.models import Canary, Credential, DataKey
from apps.catalog.places import place_of
from tests import factories

SECRET = "sk-ant-0123456789abcdef"
ONE = "1:first-value-of-a-keyring"
TWO = "2:second-value-of-a-keyring"
PLACE = vault.Place("catalog_credential", "ciphertext", 1, None, "anthropic https://api.anthropic.com")

pytestmark = [pytest.mark.django_db, pytest.mark.attack("F25")]


@pytest.fixture(autouse=True)
def _a_keyring_of_one(settings):
    settings.WEIR_KEYRING = ONE


@pytest.fixture
def credentials(acme):
    """One of the platform's, one of Acme's."""
    provider = factories.provider()
    return [factories.credential(provider), factories.credential(provider, tenant=acme)]


def opened():
    vault.forget()
    rows = Credential.objects.select_related("provider").order_by("pk")
    return vault.open_all([(row.ciphertext, place_of(row)) for row in rows])


def run(*arguments):
    output = io.StringIO()
    call_command("secrets", *arguments, stdout=output)
    return output.getvalue()


def told():
    return json.loads(run("verify", "--json"))


# --- the keyring's versions ------------------------------------------------------------------------------------


def test_rotation_reseals_the_data_keys_and_leaves_the_secrets_alone(credentials, settings):
    ciphertexts = [row.ciphertext for row in Credential.objects.order_by("pk")]
    settings.WEIR_KEYRING = f"{ONE},{TWO}"
    assert rotation.rotate_kek() == 2
    assert list(DataKey.objects.values_list("kek_version", flat=True)) == [2, 2]
    assert list(Credential.objects.order_by("pk").values_list("ciphertext", flat=True)) == ciphertexts
    assert rotation.rotate_kek() == 0
    settings.WEIR_KEYRING = TWO
    canary.verify()
    assert opened() == [SECRET, SECRET]
    assert list(Canary.objects.values_list("kek_version", flat=True)) == [2]


def test_a_rotation_of_the_keyring_that_was_interrupted_is_continued(credentials, settings):
    settings.WEIR_KEYRING = f"{ONE},{TWO}"
    first = DataKey.objects.order_by("pk").first()
    first.seal(first.open(keyring.current()), keyring.current())
    first.save()
    assert opened() == [SECRET, SECRET]  # in the middle, too
    assert rotation.rotate_kek() == 1
    assert opened() == [SECRET, SECRET]


def test_rotation_is_recorded_without_the_keys(credentials, acme, settings):
    settings.WEIR_KEYRING = f"{ONE},{TWO}"
    rotation.rotate_kek()
    rows = Record.objects.filter(action="data_key.resealed")
    assert {row.tenant_id for row in rows} == {None, acme.pk}
    assert all((row.before, row.after) == ({"kek_version": 1}, {"kek_version": 2}) for row in rows)


def test_new_secrets_are_sealed_under_the_highest_version(settings):
    settings.WEIR_KEYRING = f"{TWO},{ONE}"
    vault.seal(SECRET, place=PLACE)
    assert DataKey.objects.get().kek_version == 2


# --- data keys -------------------------------------------------------------------------------------------------


def test_a_tenant_gets_another_data_key_and_the_old_one_is_gone(credentials, acme):
    before = {row.pk: (row.ciphertext, row.fingerprint) for row in Credential.objects.all()}
    old = DataKey.objects.get(tenant=acme)
    assert run("rotate-dek", "--tenant", "acme") == "1 credentials resealed.\n"
    assert opened() == [SECRET, SECRET]
    (new,) = DataKey.objects.filter(tenant=acme)
    assert (new.version, new.pk == old.pk) == (2, False)
    platforms, tenants = credentials
    assert before[platforms.pk] == tuple(
        Credential.objects.values_list("ciphertext", "fingerprint").get(pk=platforms.pk)
    )
    tenants.refresh_from_db()
    assert tenants.ciphertext.split(".")[1] == new.pk.hex
    assert tenants.fingerprint != before[tenants.pk][1]


def test_the_fingerprint_goes_on_telling_equal_secrets(credentials, acme):
    rotation.rotate_dek(acme.pk)
    again = factories.credential(tenant=acme)
    assert Credential.objects.get(pk=credentials[1].pk).fingerprint == again.fingerprint


def test_everybodys_data_keys_are_changed_at_once(credentials, globex):
    assert run("rotate-dek", "--platform") == "1 credentials resealed.\n"
    assert run("rotate-dek", "--all") == "2 credentials resealed.\n"
    assert sorted(DataKey.objects.values_list("version", flat=True)) == [2, 3]
    assert opened() == [SECRET, SECRET]
    assert run("rotate-dek", "--tenant", "globex") == "0 credentials resealed.\n"
    assert not DataKey.objects.filter(tenant=globex).exists()


def test_the_change_of_a_data_key_is_recorded(credentials, acme):
    rotation.rotate_dek(acme.pk)
    made, rotated = Record.objects.filter(action__startswith="data_key.", tenant_id=acme.pk).order_by("pk")
    assert (made.action, made.after) == ("data_key.made", {"version": 2, "kek_version": 1})
    assert (rotated.action, rotated.before) == ("data_key.rotated", {"versions": [1]})
    assert rotated.after == {"version": 2, "resealed": 1}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("survived", range(4))
def test_wherever_a_change_of_data_keys_is_killed_everything_opens_and_the_next_run_finishes(
    acme, monkeypatch, survived
):
    provider = factories.provider()
    for _ in range(3):
        factories.credential(provider, tenant=acme)
    reseal, calls = rotation._reseal, []

    def dying(pk, *, row):
        if len(calls) == survived:
            raise Killed
        calls.append(pk)
        return reseal(pk, row=row)

    def dying_late(*args, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "_reseal", dying)
        if survived == 3:
            patch.setattr(rotation, "_drop_idle", dying_late)
        with pytest.raises(Killed):
            rotation.rotate_dek(acme.pk)
    assert sorted(DataKey.objects.values_list("version", flat=True)) == [1, 2]
    assert opened() == [SECRET] * 3
    assert told()["ok"]
    assert rotation.rotate_dek(acme.pk).count == 3 - survived
    assert list(DataKey.objects.values_list("version", flat=True)) == [2]
    assert opened() == [SECRET] * 3


def test_a_credential_that_does_not_open_keeps_its_key_and_is_named(credentials, acme):
    good = factories.credential(tenant=acme)
    bad = credentials[1]
    Credential.objects.filter(pk=bad.pk).update(ciphertext=bad.ciphertext[:-4] + "AAAA")
    vault.forget()
    with pytest.raises(CommandError, match=f"1 credentials do not open and keep their old key: {bad.pk}"):
        run("rotate-dek", "--all")
    assert sorted(DataKey.objects.filter(tenant=acme).values_list("version", flat=True)) == [1, 2]
    good.refresh_from_db()
    assert vault.open_one(good.ciphertext, place=place_of(good)) == SECRET


def test_a_credential_that_does_not_open_holds_no_later_change_back(credentials, acme):
    good = factories.credential(tenant=acme)
    bad = credentials[1]
    Credential.objects.filter(pk=bad.pk).update(ciphertext=bad.ciphertext[:-4] + "AAAA")
    for newest in (2, 3, 4):
        vault.forget()
        assert rotation.rotate_dek(acme.pk) == (1, (bad.pk,))
        assert sorted(DataKey.objects.filter(tenant=acme).values_list("version", flat=True)) == [1, newest]
        good.refresh_from_db()
        assert good.ciphertext.split(".")[1] == DataKey.objects.get(tenant=acme, version=newest).pk.hex
    services.set_secret(Credential.objects.get(pk=bad.pk), actor=None, secret=SECRET)
    assert rotation.rotate_dek(acme.pk).left == ()
    assert DataKey.objects.filter(tenant=acme).count() == 1
    assert opened() == [SECRET] * 3


def test_an_unknown_tenant_is_told(db):
    with pytest.raises(CommandError, match="no tenant “nobody”"):
        run("rotate-dek", "--tenant", "nobody")


def test_a_process_that_remembers_old_keys_goes_on(credentials, acme):
    model = factories.model("claude")
    factories.deployment(model, credentials[1].provider)
    assert opened() == [SECRET, SECRET]  # remembered from here on
    rotation.rotate_dek(acme.pk)
    (deployment,) = selectors.snapshot_models(0)["claude"].deployments
    assert len(deployment.provider.credentials) == 2


def test_a_snapshot_that_is_read_in_the_middle_of_a_change_is_whole(credentials, acme, monkeypatch):
    """The credential's row is read, its data key is changed, and then the data keys are read."""
    factories.deployment(factories.model("claude"), credentials[1].provider)
    vault.forget()
    open_all, times = vault.open_all, []

    def late(texts):
        texts = list(texts)
        if not times:
            times.append(1)
            rotation.rotate_dek(acme.pk)
            vault.forget()
        return open_all(texts)

    monkeypatch.setattr(vault, "open_all", late)
    (deployment,) = selectors.snapshot_models(0)["claude"].deployments
    assert len(deployment.provider.credentials) == 2


@pytest.mark.django_db(transaction=True)
def test_secrets_that_are_set_during_a_change_of_data_keys_are_not_lost(acme):
    provider = factories.provider()
    rows = [factories.credential(provider, tenant=acme) for _ in range(6)]
    start, failures = threading.Barrier(3), []

    def at_once(work):
        start.wait()
        try:
            work()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    def set_secrets():
        for number, row in enumerate(rows):
            services.set_secret(Credential.objects.get(pk=row.pk), actor=None, secret=f"sk-ant-new-secret-{number}")

    def rotate():
        for _ in range(3):
            rotation.rotate_dek(acme.pk)

    threads = [threading.Thread(target=at_once, args=(work,)) for work in (set_secrets, rotate, rotate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert opened() == [f"sk-ant-new-secret-{number}" for number in range(6)]
    rotation.rotate_dek(acme.pk)
    assert DataKey.objects.filter(tenant=acme).count() == 1
    assert opened() == [f"sk-ant-new-secret-{number}" for number in range(6)]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_whoever_is_sealing_is_waited_for_before_the_old_key_goes(acme):
    credential = factories.credential(tenant=acme)
    sealed, go, done = threading.Event(), threading.Event(), threading.Event()

    def seal_slowly():
        with transaction.atomic():
            text = vault.seal("slow", place=place_of(credential)).text
            sealed.set()
            go.wait(30)
            Credential.objects.filter(pk=credential.pk).update(ciphertext=text)
        connection.close()

    def rotate():
        rotation.rotate_dek(acme.pk)
        done.set()
        connection.close()

    threads = [threading.Thread(target=seal_slowly), threading.Thread(target=rotate)]
    threads[0].start()
    assert sealed.wait(30)
    threads[1].start()
    assert not done.wait(0.5)
    go.set()
    for thread in threads:
        thread.join()
    assert opened() == ["slow"]
    assert DataKey.objects.filter(tenant=acme).count() == 1


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command_rotates_and_counts_by_version(credentials, settings):
    assert run("verify").splitlines() == [
        "keyring version 1 (active): 2 data keys, 2 secrets",
        *_data_keys(1),
        "keyring versions below 1 are not needed",
    ]
    settings.WEIR_KEYRING = f"{ONE},{TWO}"
    assert run("verify").splitlines()[:2] == [
        "keyring version 1: 2 data keys, 2 secrets",
        "keyring version 2 (active): 0 data keys, 0 secrets",
    ]
    assert run("rotate-kek").splitlines() == [
        "2 data keys resealed.",
        "keyring version 2 (active): 2 data keys, 2 secrets",
        *_data_keys(2),
        "keyring versions below 2 are not needed",
    ]


def _data_keys(version):
    names = [f"data key 1 of {whose} (newest)" for whose in ("Acme", "the platform")]
    lines = [f"{name}: 1 secrets, under keyring version {version}" for name in names]
    return lines if connection.vendor == "postgresql" else lines[::-1]  # where nulls stand


def test_verify_tells_programs_too(credentials, acme, settings):
    settings.WEIR_KEYRING = f"{ONE},{TWO}"
    rotation.rotate_dek(acme.pk)
    found = told()
    assert (found["ok"], found["unreadable"]) == (True, [])
    assert found["keyring"] == {
        "active": 2,
        "min_decryption_version": 1,
        "versions": [
            {"version": 1, "data_keys": 1, "secrets": 1},
            {"version": 2, "data_keys": 1, "secrets": 1},
        ],
    }
    (row,) = [row for row in found["data_keys"] if row["tenant"] == "acme"]
    assert row.pop("id") == str(DataKey.objects.get(tenant=acme).pk)
    assert row == {
        **{"tenant": "acme", "purpose": "credentials", "version": 2, "newest": True},
        **{"keyring_version": 2, "opens": True, "secrets": 1},
    }


def test_the_command_names_secrets_that_do_not_open(credentials):
    good, bad = Credential.objects.order_by("pk")
    Credential.objects.filter(pk=bad.pk).update(ciphertext=good.ciphertext)
    with pytest.raises(CommandError, match=f"1 credentials do not open: {bad.pk}"):
        run("verify")


def test_the_command_names_data_keys_that_do_not_open_though_nothing_is_under_them(acme):
    row = data_keys.newest(acme.pk)
    DataKey.objects.filter(pk=row.pk).update(wrapped="v1.1.AAAA.AAAA")
    with pytest.raises(CommandError, match="1 data keys do not open: data key 1 of Acme"):
        run("verify", "--json")


def test_the_command_refuses_a_wrong_keyring(credentials, settings):
    settings.WEIR_KEYRING = "1:another-value-altogether"
    with pytest.raises(CommandError, match="not the key"):
        run("rotate-kek")
