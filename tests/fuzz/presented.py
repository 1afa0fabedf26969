"""What callers present and what issuers publish: keys, tokens, key sets; headers; addresses and URLs."""

from __future__ import annotations

import base64
import ipaddress
import string
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.exceptions import ValidationError

from apps.catalog import validators
from apps.domain import errors, keys
from apps.domain.issuers import Issuer
from apps.domain.protocols import registry
from apps.gateway import bearers, networks
from apps.outbound import brokers, guard, jwks, webhooks
from apps.portal import sockets
from apps.runtime import redact, traces
from gateway_site.forwarded import Proxies
from tests.fuzz.contract import Target, check_words, encoded, target, text
from tests.fuzz.requests import check_error

ISSUER = Issuer(
    **{"id": 1, "name": "Corp", "url": "https://issuer.example", "version": 1, "tenant_id": 1},
    **{"audiences": frozenset({"weir"}), "algorithms": frozenset({"EdDSA", "RS256"}), "longest": 10**12},
    required={"groups": ("a", "b")},
)
_SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_PUBLIC = base64.urlsafe_b64encode(_SIGNER.public_key().public_bytes_raw()).rstrip(b"=").decode()
_JWK = {"kty": "OKP", "crv": "Ed25519", "x": _PUBLIC, "kid": "ed", "use": "sig", "alg": "EdDSA", "key_ops": ["verify"]}
_KEYS = jwks.read_keys(encoded({"keys": [_JWK]}))
_PROXIES = Proxies(["10.0.0.0/8", "2001:db8::/32"])
_FOREVER = 999_999_999_999
_CLAIMS = {
    **{"iss": ISSUER.url, "aud": ["weir"], "sub": "ada", "exp": _FOREVER, "iat": 0, "nbf": 0},
    **{"groups": ["a"], "tenant": "acme", "scope": "x"},
}
_HEADER = {"alg": "EdDSA", "kid": "ed", "typ": "JWT"}
KEY = keys.mint(public_bits=7, secret_bits=9)


def read_key(data: bytes) -> None:
    """Only what was minted is one, and it is that very text."""
    word = data.decode("latin-1")
    for prefix in (keys.PREFIX, keys.OF_TOKENS, keys.OF_ACCESS, keys.OF_REFRESH):
        public = keys.public_id(word, prefix=prefix)
        if public is not None:
            secret = word[len(prefix) + 2 + keys.PUBLIC_LENGTH :][: keys.SECRET_LENGTH]
            assert word == keys.mint(public_bits=_number(public), secret_bits=_number(secret), prefix=prefix)
    keys.digest(text(data), pepper=b"pepper")


def _number(word: str) -> int:
    number = 0
    for letter in word:
        number = number * 62 + keys.ALPHABET.index(letter)
    return number


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signed(header: bytes, payload: bytes) -> str:
    content = f"{_segment(header)}.{_segment(payload)}"
    return f"{content}.{_segment(_SIGNER.sign(content.encode()))}"


def read_token(data: bytes) -> None:
    _verify(data.decode("latin-1"))


def read_header(data: bytes) -> None:
    _verify(_signed(data, encoded(_CLAIMS)))


def read_claims(data: bytes) -> None:
    _verify(_signed(encoded(_HEADER), data))


def _verify(token: str) -> None:
    """None but the issuer's own is let in."""
    if not bearers.is_shaped(token):
        return
    bearers._issuer_of(token)
    try:
        jwks.knows(token)(_KEYS)
        told = bearers._read(token, ISSUER, _KEYS)
    except jwks.TokenRefused as refused:
        check_words(refused)
        return
    header, payload, mark = token.split(".")
    _SIGNER.public_key().verify(base64.urlsafe_b64decode(mark + "=="), f"{header}.{payload}".encode())
    assert told.claims["iss"] == ISSUER.url
    assert told.until > 0


def read_key_set(data: bytes) -> None:
    try:
        found = jwks.read_keys(data)
    except (ValueError, RecursionError):  # what `documents` takes for unreadable
        return
    for algorithm in jwks.ALGORITHMS:
        found.candidates("ed", algorithm)


def read_discovery(data: bytes) -> None:
    try:
        bearers.read_discovery(data)
    except (ValueError, RecursionError):
        return


def read_trace(data: bytes) -> None:
    """What is passed on is one line, and read again as it was."""
    told, _, state = data.partition(b"\n")
    found = traces.parent(told, state)
    if found is None:
        return
    assert set(found.trace_id + found.span_id) <= set(string.hexdigits.lower())
    assert found.state.isprintable()
    again = traces.parent(traces.written(found.trace_id, found.span_id, is_sampled=found.is_sampled).encode(), state)
    assert again == found


def read_hops(data: bytes) -> None:
    """Whoever calls is an address, or nobody; what others write to its left makes no difference."""
    found = _PROXIES.caller(data)
    assert _PROXIES.caller(data + b" " * 80) == found, "it is remembered as it was read"
    if found and not _PROXIES.hold(str(ipaddress.ip_address(found.decode()))):
        assert _PROXIES.caller(b"203.0.113.9, x," + data) == found
    _PROXIES.hold(data.decode("latin-1"))


def read_origin(data: bytes) -> None:
    """Of a page that opens a WebSocket: none but the site's own, whichever host it names."""
    origin, _, host = data.partition(b"\n")
    if any(byte < 0x20 for byte in origin + host):
        return  # it comes in no header
    if sockets.is_own_origin({"headers": [(b"origin", origin), (b"host", host)]}):
        scheme, _, place = origin.lower().partition(b"://")
        assert scheme in (b"http", b"https")
        assert place[: len(host)] == host.lower()
        assert place[len(host) :][:1] in (b"", b"/", b"?", b"#")


def check_url(data: bytes) -> None:
    """An address that may be called is one of the whole internet."""
    url = text(data)
    try:
        found = guard.Guard(()).check_url(url)
    except guard.AddressRefused as refused:
        check_words(refused)
        return
    assert found.scheme == "https"
    assert found.host.isascii()
    assert found.host.lower() != "localhost"
    if found.address is not None:
        assert found.address.is_global
        assert str(found.address) == found.host.removesuffix(".") or found.address.version == 6
    _or_refused(brokers.parse, url.replace("https", "amqps"), ValueError)


def _or_refused(read: Callable[[Any], Any], value: Any, *refused: type[Exception]) -> Any:
    try:
        return read(value)
    except refused as error:
        check_words(error)
        return None


def read_networks(data: bytes) -> None:
    """What is saved as networks can be asked of every call."""
    words = text(data).split("\n")
    for word in words:
        _or_refused(validators.validate_cidr, word, ValidationError)
        _or_refused(validators.validate_private_cidr, word, ValidationError)
    try:
        validators.validate_networks(words)
    except ValidationError:
        networks.hold((words[0], 1), ("192.0.2.0/24", "2001:db8::/32"))
        return
    for word in words:
        first = str(ipaddress.ip_network(word)[0])
        assert networks.hold((first, 1), tuple(words)) or first.startswith("::ffff:")


def read_words(data: bytes) -> None:
    """Lists of hosts, origins and models as forms and the API take them."""
    words = text(data).split("\n")
    for read in (validators.validate_hosts, validators.validate_origins, validators.validate_model_names):
        _or_refused(read, words, ValidationError)
    _or_refused(brokers.parse, words[0], ValueError)


def read_secret(data: bytes) -> None:
    """Of a webhook."""
    key = _or_refused(webhooks.key_of, text(data), ValueError)
    assert key is None or len(key) in webhooks.LENGTHS


def cut(data: bytes) -> None:
    """Nothing is left that a second look would cut, and no key of ours."""
    told = redact.redact(data.decode("latin-1"))
    assert redact.redact(told) == told
    assert KEY not in told


def read_error(data: bytes) -> None:
    """A message that repeats what a caller wrote."""
    for wire in registry.CLIENTS.values():
        check_error(wire, errors.InvalidRequest(text(data), param=text(data)[:9]))


_LETTERS = (b"weir_", b"_", KEY[18:].encode(), b".", b"=", b"eyJ", b"\x00", b"\xff")
_URLS = (
    b"https://",
    b"http://",
    b"@",
    b":",
    b"[",
    b"]",
    b"::ffff:",
    b"127.0.0.1",
    b"0x7f",
    b"%2e",
    b"\\",
    b"#",
    b"?",
    b".",
)
_TOKEN = _signed(encoded(_HEADER), encoded(_CLAIMS)).encode()
_NAMES = (
    b'"exp":',
    b'"iat":null',
    b'"aud":[]',
    b'"sub":""',
    b'"iss":',
    b'"alg":"none"',
    b'"crit":["b64"]',
    b'"kid":1',
    b"1e999",
)
TARGETS: tuple[Target, ...] = (
    target(
        "key",
        read_key,
        seeds=[KEY.encode(), keys.mint(public_bits=1, secret_bits=2, prefix="weirapi").encode()],
        words=_LETTERS,
    ),
    target("jwt", read_token, seeds=[_TOKEN, _signed(b'{"alg":"none"}', b"{}").encode()], words=_LETTERS),
    target("jwt_header", read_header, seeds=[encoded(_HEADER)], words=_NAMES, is_json=True),
    target("jwt_claims", read_claims, seeds=[encoded(_CLAIMS)], words=_NAMES, is_json=True),
    target(
        "jwks",
        read_key_set,
        seeds=[
            encoded({"keys": [_JWK, {"kty": "RSA", "n": "AQAB" * 90, "e": "AQAB", "kid": "r"}]}),
            encoded({"keys": [{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "alg": "ES256", "use": "sig"}]}),
        ],
        words=_NAMES,
        is_json=True,
    ),
    target(
        "discovery",
        read_discovery,
        seeds=[encoded({"issuer": ISSUER.url, "jwks_uri": "https://issuer.example/jwks", "x": [1]})],
        words=_NAMES,
        is_json=True,
    ),
    target(
        "traceparent",
        read_trace,
        seeds=[b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ncongo=t61rcWkgMzE,rojo=00"],
        words=(b"-", b"00-", b"ff-", b"0" * 32, b"\n", b"=", b","),
    ),
    target(
        "forwarded",
        read_hops,
        seeds=[b"203.0.113.7, 10.0.0.1:80, [2001:db8::1]:443", b"::ffff:192.0.2.1,10.1.1.1"],
        words=(b",", b"[", b"]", b":80", b"%eth0", b"::ffff:", b" ", b"\t", b"10.0.0.1", b"unknown"),
    ),
    target(
        "origin",
        read_origin,
        seeds=[b"https://weir.example:8443\nweir.example:8443", b"http://[::1]\n[::1]"],
        words=(b"\n", b"://", b"@", b"[", b"]", b":", b"null", b"/", b"\x00"),
    ),
    target(
        "url",
        check_url,
        seeds=[
            b"https://api.example.com:8443/v1?x=1#y",
            b"https://[2606:4700::1]/",
            b"https://1.1.1.1",
            b"http://127.0.0.1:80/",
        ],
        words=_URLS,
    ),
    target(
        "networks",
        read_networks,
        seeds=[b"10.0.0.0/8\n2001:db8::/32\n192.0.2.7", b"::ffff:0:0/96", b"fd00::/8\n0.0.0.0/0"],
        words=(b"/", b".", b":", b"::", b"/32", b"/129", b"%eth0", b"\n", b"0x"),
    ),
    target(
        "words",
        read_words,
        seeds=[b"a.example\nb", b"https://a.example\n*", b"claude-x\ngpt", b"amqps://u@h:1/v"],
        words=_URLS,
    ),
    target(
        "webhook_secret", read_secret, seeds=[b"whsec_" + base64.b64encode(bytes(32))], words=(b"whsec_", b"=", b"==")
    ),
    target(
        "redaction",
        cut,
        seeds=[
            f"key {KEY} authorization: Bearer abcdefgh https://u:p@h/?token=abc&x=1".encode(),
            b'{"api_key": "sk-abcdefghijkl"}',
        ],
        words=(b"bearer ", b"password=", b"[redacted]", b'"', b": ", b"://", b"@", b"?key=", KEY.encode()),
    ),
    target(
        "error_message",
        read_error,
        seeds=["messages.0: no é\u2028".encode()],
        words=(b"\r\n", b"\x00", b'"', b"\n\ndata: "),
    ),
)
