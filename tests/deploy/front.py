"""nginx as `deploy/nginx` has it, moved: to ports and folders of a test, before processes that the test has started."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import services
from tests.deploy import tools
from tests.servers import Process, start_process

CONFIGURATION = tools.ROOT / "deploy" / "nginx"
HOST = "weir.example.org"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_STARTED = re.compile(r"(start worker process) \d+")


@dataclass(frozen=True)
class Front:
    """A running one. `https` and `http` are addresses; `trust` is for whoever connects to the first; `log` is that of
    requests."""

    https: str
    http: str
    trust: ssl.SSLContext
    log: Path
    process: Process


def certificate(folder: Path, *names: str) -> None:
    """A pair of `fullchain.pem` and `privkey.pem` that is its own authority, good for a day."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    hosts: list[x509.GeneralName] = [x509.DNSName(each) for each in (HOST, "localhost", *names)]
    hosts.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=12))
        .not_valid_after(now + datetime.timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "privkey.pem").write_bytes(key.private_bytes(*plain))


def moved(folder: Path, *, changes: Mapping[str, str], upstreams: Path | None = None) -> Path:
    """The configuration in `folder`, changed as little as a test needs. `upstreams`: a file in place of its own."""
    shutil.copytree(CONFIGURATION, folder)
    if upstreams is not None:
        shutil.copy(upstreams, folder / "weir" / "upstreams.conf")
    certificate(folder / "tls")
    (folder / "mime.types").write_text("types { text/html html; }\n")
    temporary = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in _TEMPORARY)
    always = {
        "user www-data;\n": "",
        "worker_processes auto;": "worker_processes 1;\ndaemon off;\nmaster_process on;\npid nginx.pid;",
        "error_log /var/log/nginx/error.log warn;": "error_log stderr notice;",
        "/var/log/nginx": str(folder),
        "/etc/weir/tls": str(folder / "tls"),
        "http {\n": f"http {{\n{temporary}",
    }
    for path in folder.rglob("*.conf"):
        text = path.read_text()
        for old, new in {**always, **changes}.items():
            text = text.replace(old, new)
        path.write_text(text)
    return folder


def command(folder: Path, *more: str) -> list[str]:
    return [*tools.find("nginx"), "-p", f"{folder}/", "-c", str(folder / "nginx.conf"), *more]


@contextlib.contextmanager
def running(folder: Path, *, gateways: list[str], pages: str) -> Iterator[Front]:
    """Before `gateways` and `pages`, addresses such as 127.0.0.1:8000, in the order of the file."""
    https, http = services.free_port(), services.free_port()
    changes = {
        "listen 443 ": f"listen 127.0.0.1:{https} ",
        "listen 80 ": f"listen 127.0.0.1:{http} ",
        f"server_name {HOST};": "server_name localhost;",
        "127.0.0.1:8000": gateways[0],
        "127.0.0.1:8010": gateways[1],
        "127.0.0.1:8001": pages,
    }
    moved(folder, changes=changes)
    for path in folder.rglob("*.conf"):
        path.write_text(re.sub(r"^ +listen \[::\].*\n", "", path.read_text(), flags=re.MULTILINE))
    process = start_process(command(folder), ready=_STARTED, log=folder / "log")
    trust = ssl.create_default_context(cafile=folder / "tls" / "fullchain.pem")
    try:
        yield Front(f"https://localhost:{https}", f"http://localhost:{http}", trust, folder / "access.log", process)
    finally:
        process.stop()


def negotiated(front: Front, *, version: ssl.TLSVersion) -> tuple[str | None, str | None]:
    """The protocol that is spoken above TLS, and the version of TLS. Raises ssl.SSLError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = int(front.https.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain, context.wrap_socket(plain) as connection:
        return connection.selected_alpn_protocol(), connection.version()
