"""Keys, peppers and data keys are changed under a running gateway, and no call notices."""

from __future__ import annotations

import threading

import pytest

from apps.catalog import data_keys as remembered
from apps.catalog import keyring, vault
from apps.catalog import rotation as data_keys
from apps.catalog.models import Credential
from apps.catalog.places import place_of
from apps.gateway import configuration
from apps.keys import peppers as peppers_in_use
from apps.keys import rotation as peppers
from apps.keys.models import KeySecret
from tests.control.key_servers import Vault
from tests.gateway.calls import ANTHROPIC, ask
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.attack("F34")]


def status(gateway, **options):
    return ask(gateway, ANTHROPIC, **options).status_code


def test_a_key_in_use_moves_to_a_new_pepper_without_a_query_of_the_call(gateway, world):
    assert status(gateway) == 200
    new = peppers.rotate_pepper()
    gateway.refresh()
    before = gateway.look_ups()
    assert [status(gateway) for _ in range(3)] == [200] * 3
    assert gateway.look_ups() == before + 1
    assert KeySecret.objects.get().pepper_id != new.pk
    gateway.engine.configuration.uses.flush()
    assert KeySecret.objects.get().pepper_id == new.pk
    assert status(gateway) == 200
    gateway.engine.configuration.keyring.clear()
    assert status(gateway) == 200


def test_a_key_that_was_issued_under_a_pepper_the_gateway_has_not_heard_of_works_at_once(gateway, world):
    assert status(gateway) == 200
    peppers.rotate_pepper()
    assert status(gateway, key=world.issue()) == 200


def test_keys_that_end_with_their_pepper_are_refused(gateway, world):
    assert status(gateway) == 200
    peppers.rotate_pepper()
    peppers.retire_pepper(force=True)
    gateway.refresh()
    assert status(gateway) == 401


def test_data_keys_change_under_a_running_gateway(gateway, world):
    texts = set(Credential.objects.values_list("ciphertext", flat=True))
    for _ in range(2):
        assert data_keys.rotate_dek(None).count == 2
        vault.forget()
        gateway.refresh()
        assert status(gateway) == 200
    assert texts.isdisjoint(Credential.objects.values_list("ciphertext", flat=True))


def test_a_keyring_that_stops_answering_takes_nothing_away(gateway, world, settings):
    assert status(gateway) == 200
    with Vault() as server:
        settings.WEIR_VAULT_TOKEN = server.token
        previous, settings.WEIR_KEYRING = keyring.current(), f"vault:{server.url}/transit/weir"
        data_keys.move(previous=previous)
        vault.forget()
        gateway.refresh()
        assert status(gateway) == 200
        server.down = 503
        vault.forget()
        world.touch_catalog()
        with pytest.raises(Exception, match="says 503"):
            gateway.refresh()
        assert status(gateway) == 200
        server.down = 0
        gateway.refresh()
        assert status(gateway) == 200


def under_vault(gateway, settings, server):
    """The gateway's secrets move to a Vault, and it takes that up."""
    settings.WEIR_VAULT_TOKEN = server.token
    previous, settings.WEIR_KEYRING = keyring.current(), f"vault:{server.url}/transit/weir"
    data_keys.move(previous=previous)
    vault.forget()
    gateway.world.touch_catalog()
    gateway.refresh()
    peppers_in_use.warm()


def test_a_change_while_the_keyring_is_away_is_taken_up_and_calls_go_on(gateway, world, settings, monkeypatch):
    with Vault() as server:
        under_vault(gateway, settings, server)
        monkeypatch.setattr(remembered, "REMEMBERED_SECONDS", 0.0)
        vault._memory.clear()
        remembered._memory.clear()  # five minutes later
        server.down, asked = 503, len(server.asked)
        world.limit(tenant=world.tenant, requests_per_minute=50)
        gateway.refresh()
        answers = [ask(gateway, ANTHROPIC) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert answers[0].headers["anthropic-ratelimit-requests-limit"] == "50"
        assert len(server.asked) == asked + 1  # then it is left alone
        assert status(gateway, key=world.issue()) == 200


def test_a_snapshot_that_fails_does_not_make_keys_cold_again_and_again(gateway, world, monkeypatch):
    assert status(gateway) == 200

    def fails(revision):
        raise OSError("the snapshot fails")

    monkeypatch.setattr(configuration, "_compile", fails)
    world.limit(tenant=world.tenant, requests_per_minute=50)
    for _ in range(3):
        with pytest.raises(OSError, match="the snapshot fails"):
            gateway.refresh()
        assert status(gateway) == 200
    assert gateway.look_ups() == 2


def test_a_revoked_key_is_refused_though_a_snapshot_takes_longer(gateway, world, monkeypatch, settings):
    settings.WEIR_REFRESH_SECONDS = 0.1
    assert status(gateway) == 200
    compile_snapshot, begun, go = configuration._compile, threading.Event(), threading.Event()

    def slow(revision):
        begun.set()
        go.wait(60)
        return compile_snapshot(revision)

    monkeypatch.setattr(configuration, "_compile", slow)
    world.touch_catalog()
    assert begun.wait(10)
    before = gateway.engine.configuration.snapshot
    world.revoke()
    until(lambda: status(gateway) == 401)
    assert gateway.engine.configuration.snapshot is before
    go.set()
    until(lambda: gateway.engine.configuration.snapshot is not before)


def test_a_gateway_drops_plaintexts_when_their_time_has_passed(gateway, world, monkeypatch):
    monkeypatch.setattr(remembered, "REMEMBERED_SECONDS", 0.5)
    vault.forget()
    texts = [(row.ciphertext, place_of(row)) for row in Credential.objects.all()]
    assert None not in vault.open_all(texts)
    until(lambda: len(vault._memory) == len(remembered._memory) == 0)


def test_a_gateway_that_has_met_no_key_yet_checks_them_while_the_keyring_is_away(gateway, world, settings):
    with Vault() as server:
        under_vault(gateway, settings, server)
        vault.forget()
        gateway.call(gateway.engine.configuration.verify())
        server.down = 503
        assert status(gateway) == 200


def test_a_new_pepper_that_cannot_be_opened_yet_takes_nothing_from_keys_on_the_old_one(gateway, world, settings):
    with Vault() as server:
        under_vault(gateway, settings, server)
        new = peppers.rotate_pepper()
        server.down = 503
        gateway.refresh()
        assert status(gateway) == 200
        assert KeySecret.objects.get().pepper_id != new.pk


def test_a_key_met_while_the_keyring_was_away_moves_when_it_is_back(gateway, world, settings):
    with Vault() as server:
        under_vault(gateway, settings, server)
        new = peppers.rotate_pepper()
        server.down = 503
        gateway.refresh()
        assert [status(gateway) for _ in range(2)] == [200] * 2
        server.down = 0

        def has_moved() -> bool:
            gateway.engine.configuration.uses.flush()
            assert status(gateway) == 200
            return KeySecret.objects.get().pepper_id == new.pk

        until(has_moved)


def test_a_keyring_that_is_away_is_not_asked_again_for_each_key(gateway, world, settings):
    keys = [world.issue() for _ in range(4)]
    with Vault() as server:
        under_vault(gateway, settings, server)
        peppers.rotate_pepper()
        server.down = 503
        gateway.refresh()
        asked = len(server.asked)
        assert [status(gateway, key=key) for key in keys] == [200] * 4
        assert len(server.asked) <= asked + 1
