from __future__ import annotations

import pytest

from apps.outbound.guard import AddressRefused, Guard, check_url

pytestmark = pytest.mark.attack("F24")

LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0X7F.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.000.000.001",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "00.0.0.0",
    "localhost",
    "LOCALHOST.",
    "api.localhost",
    "%31%32%37.0.0.1",
    "127.0.0.1%00.example.com",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001:0:0:0:0:0]",
    "[2001:0:7f00:1::80ff:fffe]",
    "[fe80::1%25lo]",
    "[fe80::1]",
    "[fec0::1]",
    "[fd00::1]",
    "[::1%25eth0]",
]
METADATA_SPELLINGS = [
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "025177524776",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "[fd00:ec2::23]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.170.2",
    "169.254.170.23",
    "192.0.0.192",
]
INWARD = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[64:ff9b:1::a00:1]",
    "[4000::1]",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "[2606:4700:4700::1111]",
    "[64:ff9b::808:808]",
    "api.example.com",
    "xn--bcher-kva.example",
]


@pytest.mark.parametrize("host", [*LOOPBACK_SPELLINGS, *METADATA_SPELLINGS, *INWARD])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_it_refuses_an_inward_address_however_it_is_spelt(host: str, scheme: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(f"{scheme}://{host}:8443/v1", [])


@pytest.mark.parametrize("host", METADATA_SPELLINGS)
def test_opening_everything_does_not_open_the_metadata_service(host: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(f"https://{host}/latest", ["0.0.0.0/0", "::/0"])


@pytest.mark.parametrize("host", PUBLIC)
def test_it_lets_public_hosts_pass_over_https_only(host: str) -> None:
    check_url(f"https://{host}/v1", [])
    with pytest.raises(AddressRefused, match="Plain http"):
        check_url(f"http://{host}/v1", [])


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        ("http://127.0.0.1:9100", "127.0.0.0/8"),
        ("http://localhost:9100", "127.0.0.0/8"),
        ("http://[::1]:9100", "::1/128"),
        ("http://[::ffff:10.1.2.3]/", "10.0.0.0/8"),
        ("https://10.1.2.3/", "10.0.0.0/8"),
        ("http://[fd12::1]/", "fd00::/8"),
        ("http://ollama.internal:11434", "10.0.0.0/8"),
    ],
)
def test_an_opened_network_may_be_called_even_in_plain_http(url: str, opened: str) -> None:
    check_url(url, [opened])
    if "ollama" not in url:
        with pytest.raises(AddressRefused):
            check_url(url, ["192.168.77.0/24"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com/v1",
        "https:example.com",
        "https://",
        "https:///v1",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com@127.0.0.1/",
        "https://exa mple.com/",
        "https://example.com\r\nHost: evil/",
        "https://example.com\t/",
        " https://example.com/",
        "https://example.com:0/",
        "https://example.com:/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://[1.2.3.4]/x",
        "https://[v1.fe80::1]/",
        "https://-example.com/",
        "https://exa$mple.com/",
        "https://example..com/",
        "https://.example.com/",
        "https://" + "a" * 300 + ".com/",
        "https://例え.jp/",
    ],
)
def test_it_refuses_a_url_that_two_parsers_could_read_differently(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, ["0.0.0.0/0", "::/0"])


def test_a_guard_that_allows_plain_http_refuses_whatever_else_it_would() -> None:
    guard = Guard(["10.0.0.0/8"], allows_plain=True)
    for url in ("http://pictures.example/a", "http://93.184.215.14/a", "http://10.1.2.3/a"):
        guard.check_url(url)
    guard.check_address("93.184.215.14", encrypted=False)
    for url in ("http://127.0.0.1/", "http://192.168.1.1/", "http://169.254.169.254/", "http://localhost/"):
        with pytest.raises(AddressRefused):
            guard.check_url(url)
    with pytest.raises(AddressRefused):
        guard.check_address("192.168.1.1", encrypted=True)


def test_it_refuses_a_public_address_in_plain_http() -> None:
    with pytest.raises(AddressRefused, match="Plain http"):
        Guard(["10.0.0.0/8"]).check_address("8.8.8.8", encrypted=False)


def test_it_refuses_a_network_that_is_not_one() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Guard(["ten dot something"])


def test_a_refusal_is_an_error_of_values_and_of_connections() -> None:
    assert issubclass(AddressRefused, ValueError)
    assert issubclass(AddressRefused, OSError)
