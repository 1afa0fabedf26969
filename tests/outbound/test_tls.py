from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound
from tests.outbound.test_resolving import Scripted
from tests.outbound.upstream import fetch, ok


def certificate(folder: Path, *, host: str) -> ssl.SSLContext:
    """A server's context with a certificate of its own making, left in `folder`/cert.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def call(tmp_path: Path, *, trusted: bool, host: str) -> bytes:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ok(b"sealed"))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate(tmp_path, host="provider.test"))
    tls = ssl.create_default_context(cafile=str(tmp_path / "cert.pem")) if trusted else None
    outbound = Outbound(private_networks=["127.0.0.1/32"], resolver=Scripted(["127.0.0.1"]), tls=tls)
    url = f"https://{host}:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        try:
            return await fetch(outbound.open("POST", url, headers=[], body=b"", timeouts=Timeouts()))
        finally:
            await outbound.close()


async def test_the_name_not_the_address_is_what_the_certificate_is_checked_for(tmp_path: Path) -> None:
    assert await call(tmp_path, trusted=True, host="provider.test") == b"sealed"
    with pytest.raises(errors.UpstreamBroken, match="TLS could not be trusted"):
        await call(tmp_path, trusted=True, host="other.test")


async def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UpstreamBroken, match="TLS could not be trusted"):
        await call(tmp_path, trusted=False, host="provider.test")
