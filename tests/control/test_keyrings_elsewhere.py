"""Keyrings that another server keeps: Vault's transit engine and AWS KMS, over real sockets."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.catalog import canary, data_keys, keyring, rotation, selectors, vault
from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable
from apps.catalog.models import Credential, DataKey
from apps.catalog.places import place_of
from apps.keys import selectors as key_selectors
from tests import factories
from tests.control.key_servers import Kms, Vault

KEY, CONTEXT = bytes(range(32)), b"v1|data key|a|"
SECRET = "sk-ant-0123456789abcdef"


@pytest.fixture
def transit(settings):
    with Vault() as server:
        settings.WEIR_KEYRING = f"vault:{server.url}/transit/weir"
        settings.WEIR_VAULT_TOKEN = server.token
        yield server


@pytest.fixture
def kms(settings, monkeypatch):
    with Kms("alias/one", "alias/two") as server:
        settings.WEIR_KEYRING = f"aws-kms:eu-central-1?1=alias/one&endpoint={server.url}"
        for name, value in (("ACCESS_KEY_ID", server.access), ("SECRET_ACCESS_KEY", server.secret)):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        yield server


@pytest.fixture(params=["transit", "kms"])
def server(request):
    return request.getfixturevalue(request.param)


def opened():
    vault.forget()
    rows = Credential.objects.select_related("provider").order_by("pk")
    return vault.open_all([(row.ciphertext, place_of(row)) for row in rows])


# --- both ------------------------------------------------------------------------------------------------------


def test_a_key_is_wrapped_there_and_opens_with_its_context_only(server):
    ring = keyring.current()
    wrapped = ring.wrap(KEY, context=CONTEXT)
    assert (wrapped.version, ring.active(), ring.versions()) == (1, 1, {1})
    assert ring.unwrap(wrapped.text, version=1, context=CONTEXT) == KEY
    with pytest.raises(KeyringRefused, match="does not open") as refused:
        ring.unwrap(wrapped.text, version=1, context=b"v1|data key|b|")
    assert not isinstance(refused.value, KeyringUnavailable)


@pytest.mark.django_db
def test_secrets_and_keys_live_under_it(server, acme, website):
    canary.verify()
    factories.credential()
    factories.credential(tenant=acme)
    issued = factories.key(website)
    canary.verify()
    assert opened() == [SECRET, SECRET]
    assert rotation.rotate_dek(acme.pk).count == 1
    assert opened() == [SECRET, SECRET]
    assert key_selectors.principal(issued.plaintext).key_id == issued.key.pk
    assert all(key.opens for key in rotation.inspect().keys)


@pytest.mark.django_db
def test_it_is_asked_once_for_each_data_key_in_five_minutes(server, acme, monkeypatch):
    for number in range(3):
        factories.credential(tenant=acme, secret=f"{SECRET}{number}")
    vault.forget()
    before = len(server.asked)
    for _ in range(3):
        vault._memory.clear()
        assert None not in vault.open_all([(row.ciphertext, place_of(row)) for row in Credential.objects.all()])
    assert len(server.asked) == before + 1
    monkeypatch.setattr(data_keys, "REMEMBERED_SECONDS", 0.0)
    opened()
    data_keys.opened(DataKey.objects.get(tenant=acme))
    assert len(server.asked) == before + 3


@pytest.mark.django_db
@pytest.mark.parametrize("status", [429, 500, 503])
def test_one_that_cannot_help_stops_the_start_and_takes_nothing_from_a_running_gateway(server, status):
    factories.deployment(factories.model("claude"), factories.credential().provider)
    vault.forget()
    server.down = status
    with pytest.raises(KeyringUnavailable):
        canary.verify()
    with pytest.raises(KeyringUnavailable):  # the refresh fails as a whole, and the last snapshot stays
        selectors.snapshot_models(0)
    server.down = 0
    assert len(selectors.snapshot_models(0)["claude"].deployments[0].provider.credentials) == 1


@pytest.mark.django_db
def test_an_installation_moves_there_and_back(server, acme, website, settings, tmp_path):
    there, file = settings.WEIR_KEYRING, tmp_path / "keyring"
    file.touch(0o600)
    file.write_text("1:first-value-of-a-keyring")
    here = settings.WEIR_KEYRING = f"file:{file}"
    factories.credential(tenant=acme)
    issued = factories.key(website)
    for previous, settings.WEIR_KEYRING in ((here, there), (there, here)):
        with pytest.raises(KeyringRefused):
            canary.verify()
        first = DataKey.objects.order_by("pk").first()  # as if a run had been killed after it
        first.seal(first.open(keyring.named(previous)), keyring.current())
        first.save()
        assert rotation.move(previous=keyring.named(previous)) == 1
        canary.verify()
        assert opened() == [SECRET]
        assert key_selectors.principal(issued.plaintext) is not None


def test_a_keyring_is_not_taken_from_the_command_line():
    with pytest.raises(CommandError, match="put the keyring into a file"):
        call_command("secrets", "move", "--from", "1:first-value-of-a-keyring")


def test_one_that_is_not_there_or_does_not_answer_is_given_up(server, monkeypatch):
    ring = keyring.current()
    monkeypatch.setattr(ring._authority, "_seconds", 0.2)
    server.hang.clear()
    with pytest.raises(KeyringUnavailable, match="does not answer"):
        ring.wrap(KEY, context=CONTEXT)
    server.hang.set()
    server.__exit__()
    with pytest.raises(KeyringUnavailable, match="does not answer"):
        ring.wrap(KEY, context=CONTEXT)


# --- Vault -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_vaults_own_rotation_is_a_version_of_the_keyring(transit, acme):
    factories.credential(tenant=acme)
    transit.rotate()
    assert opened() == [SECRET]
    assert rotation.inspect().min_decryption_version == 1
    assert rotation.rotate_kek() == 1
    assert rotation.inspect().min_decryption_version == 2
    transit.min_decryption_version = 2
    canary.verify()
    assert opened() == [SECRET]


@pytest.mark.django_db
def test_a_version_that_vault_no_longer_opens_but_is_needed_stops_the_start(transit, acme):
    factories.credential(tenant=acme)
    transit.rotate()
    transit.min_decryption_version = 2
    with pytest.raises(KeyringRefused, match="lacks version 1"):
        canary.verify()


@pytest.mark.django_db
def test_another_vault_is_refused_at_start(transit, acme, settings):
    factories.credential(tenant=acme)
    with Vault() as other:
        settings.WEIR_KEYRING = f"vault:{other.url}/transit/weir"
        with pytest.raises(KeyringRefused, match="not the key that this database was used with"):
            canary.verify()


def test_a_wrong_token_says_nothing_about_what_is_stored(transit, settings):
    wrapped = keyring.current().wrap(KEY, context=CONTEXT)
    settings.WEIR_VAULT_TOKEN = "hvs.expired"
    with pytest.raises(KeyringUnavailable, match="says 403 to decrypt") as refused:
        keyring.current().unwrap(wrapped.text, version=1, context=CONTEXT)
    assert "hvs" not in str(refused.value)
    settings.WEIR_VAULT_TOKEN = ""
    with pytest.raises(KeyringUnavailable, match="wants a token"):
        keyring.current().active()


def test_a_token_in_a_file_is_read_for_every_question(transit, settings, tmp_path):
    file = tmp_path / "token"
    settings.WEIR_VAULT_TOKEN, settings.WEIR_VAULT_TOKEN_FILE = "", str(file)
    with pytest.raises(KeyringUnavailable, match="WEIR_VAULT_TOKEN_FILE"):
        keyring.current().active()
    file.write_text("hvs.token\n")
    assert keyring.current().active() == 1
    transit.token = "hvs.renewed"
    file.write_text("hvs.renewed")
    assert keyring.current().active() == 1


def test_a_token_file_that_is_being_written_says_nothing_about_what_is_stored(transit, settings, tmp_path):
    wrapped = keyring.current().wrap(KEY, context=CONTEXT)
    settings.WEIR_VAULT_TOKEN_FILE = str(tmp_path / "token")
    for content in (b"", b"\n", b"\xff"):
        (tmp_path / "token").write_bytes(content)
        with pytest.raises(KeyringUnavailable, match="WEIR_VAULT_TOKEN_FILE"):
            keyring.current().unwrap(wrapped.text, version=1, context=CONTEXT)


def test_a_400_that_is_not_about_the_text_says_nothing_about_what_is_stored(transit):
    wrapped = keyring.current().wrap(KEY, context=CONTEXT)
    transit.name = "another"
    with pytest.raises(KeyringUnavailable, match="says 400 to decrypt"):
        keyring.current().unwrap(wrapped.text, version=1, context=CONTEXT)


def test_texts_that_vault_did_not_make_or_no_longer_opens_do_not_open(transit):
    wrapped = keyring.current().wrap(KEY, context=CONTEXT)
    transit.rotate()
    transit.min_decryption_version = 2
    for text in (wrapped.text, "v1.1.AAAA.AAAA", "vault:v9:AAAA", "vault:v2:%"):
        with pytest.raises(KeyringRefused, match="does not open") as refused:
            keyring.current().unwrap(text, version=1, context=CONTEXT)
        assert not isinstance(refused.value, KeyringUnavailable)


def test_mounts_names_and_namespaces_are_as_written(settings):
    with Vault(mount="team/transit", name="weir key") as server:
        server.namespace = "ns1/"
        settings.WEIR_VAULT_TOKEN = server.token
        settings.WEIR_KEYRING = f"vault:{server.url}/team/transit/weir key?namespace=ns1/"
        assert keyring.current().active() == 1


@pytest.mark.parametrize(
    "address",
    [
        *("http://vault.example.org:8200/transit/weir", "https:///transit/weir", "https://vault.example.org/weir"),
        *("https://user:word@vault.example.org/transit/weir", "ftp://vault.example.org/transit/weir", "transit/weir"),
    ],
)
def test_an_address_that_nothing_would_encrypt_or_that_is_none_is_refused(settings, address):
    settings.WEIR_KEYRING = f"vault:{address}"
    with pytest.raises(KeyringRefused) as refused:
        keyring.current()
    assert "word" not in str(refused.value)


# --- AWS KMS ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_another_key_is_another_version(kms, acme, settings):
    factories.credential(tenant=acme)
    both = f"{settings.WEIR_KEYRING}&2=alias/two"
    settings.WEIR_KEYRING = both
    assert opened() == [SECRET]
    assert rotation.rotate_kek() == 1
    settings.WEIR_KEYRING = both.replace("1=alias/one&", "")
    canary.verify()
    assert opened() == [SECRET]


def test_a_request_with_another_secret_is_not_signed_truly(kms, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(KeyringUnavailable, match="InvalidSignatureException"):
        keyring.current().wrap(KEY, context=CONTEXT)


@pytest.mark.parametrize("denied", ["AccessDeniedException", "DisabledException", "ThrottlingException"])
def test_a_key_that_may_not_be_used_says_nothing_about_what_is_stored(kms, denied):
    wrapped = keyring.current().wrap(KEY, context=CONTEXT)
    kms.denied = denied
    with pytest.raises(KeyringUnavailable, match=denied):
        keyring.current().unwrap(wrapped.text, version=1, context=CONTEXT)


@pytest.mark.parametrize(
    "address",
    ["eu-central-1", "eu-central-1?one=alias/weir", "?1=alias/weir", "eu?1=a&endpoint=http://kms.example.org"],
)
def test_a_kms_keyring_that_is_not_whole_is_refused(settings, address):
    settings.WEIR_KEYRING = f"aws-kms:{address}"
    with pytest.raises(KeyringRefused):
        keyring.current()
