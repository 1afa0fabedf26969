"""Keys, peppers and data keys are changed under a running gateway, and no call notices."""

from __future__ import annotations

import pytest

from apps.catalog import keyring, vault
from apps.catalog import rotation as data_keys
from apps.catalog.models import Credential
from apps.keys import rotation as peppers
from apps.keys.models import KeySecret
from tests.control.key_servers import Vault
from tests.gateway.calls import ANTHROPIC, ask

pytestmark = pytest.mark.django_db(transaction=True)


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
