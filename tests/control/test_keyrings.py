"""Keyrings that this process holds itself: read strictly, from a variable or from a file that is nobody else's."""

from __future__ import annotations

import json

import pytest

from apps.catalog import checks, keyring
from apps.catalog.keyrings.ring import KeyringRefused

ONE, TWO = "first-value-of-a-keyring", "second-value-of-a-keyring"
KEY, CONTEXT = bytes(range(32)), b"v1|data key|a|"
BOTH = [f"1:{ONE},2:{TWO}", f"env:1:{ONE},2:{TWO}", f" 2:{TWO}, 1:{ONE} ", json.dumps({"2": TWO, "1": ONE})]


@pytest.fixture
def ring(settings):
    def read(text):
        settings.WEIR_KEYRING = text
        return keyring.current()

    return read


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "keyring"
    found.write_text(f"1:{ONE},2:{TWO}\n")
    found.chmod(0o600)
    return found


def test_one_value_is_version_one_of_the_keyring(ring):
    wrapped = ring(ONE).wrap(KEY, context=CONTEXT)
    assert wrapped.version == ring(ONE).active() == 1
    assert ring(f"1:{ONE},2:{TWO}").unwrap(wrapped.text, version=1, context=CONTEXT) == KEY


@pytest.mark.parametrize("text", BOTH)
def test_every_spelling_is_the_same_keyring(ring, text):
    found = ring(text)
    assert (found.versions(), found.active()) == ({1, 2}, 2)
    wrapped = found.wrap(KEY, context=CONTEXT)
    assert ring(BOTH[0]).unwrap(wrapped.text, version=2, context=CONTEXT) == KEY
    assert KEY.hex() not in wrapped.text


@pytest.mark.parametrize(("version", "context"), [(1, CONTEXT), (2, b"v1|data key|b|"), (3, CONTEXT)])
def test_what_is_wrapped_opens_with_its_version_and_context_only(ring, version, context):
    wrapped = ring(BOTH[0]).wrap(KEY, context=CONTEXT)
    with pytest.raises(KeyringRefused):
        ring(BOTH[0]).unwrap(wrapped.text, version=version, context=context)


def test_equal_values_of_two_versions_are_two_keys(ring):
    wrapped = ring(f"1:{ONE}").wrap(KEY, context=CONTEXT)
    with pytest.raises(KeyringRefused):
        ring(f"2:{ONE}").unwrap(wrapped.text, version=2, context=CONTEXT)


@pytest.mark.parametrize(
    "text",
    [
        *("", "short", "1:short", f"1:{ONE},two:{TWO}", f"1:{ONE},1:{TWO}", f"1:{ONE},", "env:"),
        *("{", "{}", '{"1": 2}', json.dumps({"one": ONE}), f'{{"1": "{ONE}", "1": "{TWO}"}}', '{"1": "short"}'),
        *("file:relative/path", "file:/no/such/file", "file:", "vault:", "aws-kms:"),
    ],
)
def test_a_keyring_that_cannot_be_read_is_refused_without_a_word_of_it(settings, text):
    settings.WEIR_KEYRING = text
    with pytest.raises(KeyringRefused) as refused:
        keyring.current()
    assert ONE not in str(refused.value)
    assert TWO not in str(refused.value)
    assert [message.id for message in checks.check_keyring()] == ["weir.E001"]


def test_a_keyring_may_be_a_file(ring, path):
    wrapped = ring(f"file:{path}").wrap(KEY, context=CONTEXT)
    assert ring(BOTH[0]).unwrap(wrapped.text, version=2, context=CONTEXT) == KEY
    assert [keyring.kind_of(text) for text in (f"file:{path}", *BOTH, ONE)] == ["file", *["env"] * 5]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_use_is_refused(ring, path, mode):
    path.chmod(mode)
    with pytest.raises(KeyringRefused, match="chmod 600"):
        ring(f"file:{path}")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_accepted(ring, path, mode):
    path.chmod(mode)
    assert ring(f"file:{path}").active() == 2
