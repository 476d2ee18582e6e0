#!/usr/bin/env python3
"""Lets sslscan look at listeners of the gateway, explicit and implicit, and fails if it finds anything weak.

    tests/live/scan.py [--gateway PROGRAM]
"""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import ports
from certificates import Certificates
from process import Daemon, Failed, tail
from run import find_gateway

HOST = "127.0.0.1"
START_SECONDS = 10
SCAN_SECONDS = 180
VERSIONS = {("tls", "1.2"), ("tls", "1.3")}
# Encryption that checks what it decrypts; all others are CBC, RC4 or none.
AEAD = re.compile(r"GCM|CCM|CHACHA20")
CIPHER_BITS = 128
GROUP_BITS = 112


class Greeter:
    """Stands for the server, which is dialled before AUTH: it greets, and says nothing more."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"220 Ready.\r\n")
            while connection.recv(4096):
                pass


def configuration(listeners: dict[str, int], server: int, certificates: Certificates) -> str:
    keys = f'certificate = "{certificates.certificate}", key = "{certificates.key}"'
    parts = [f'[upstreams.server]\naddress = "{HOST}:{server}"\n']
    for mode, port in listeners.items():
        tls = f'tls = {{ mode = "{mode}", {keys} }}'
        parts.append(f'[listeners.{mode}]\nbind = "{HOST}:{port}"\nupstream = "server"\n{tls}\n')
    return "\n".join(parts)


def wait_for_listener(daemon: Daemon, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and daemon.is_running():
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise Failed(f"the gateway does not get ready\n{tail(log)}")


def scan(mode: str, port: int) -> ElementTree.Element:
    options = ["--no-colour", "--sni-name=localhost", *["--starttls-ftp"] * (mode == "explicit")]
    command = ["sslscan", *options, "--xml=-", f"{HOST}:{port}"]
    finished = subprocess.run(command, capture_output=True, timeout=SCAN_SECONDS, check=True)
    found = ElementTree.fromstring(finished.stdout).find("ssltest")
    if found is None:
        raise Failed(f"sslscan says nothing: {finished.stdout!r}")
    return found


def weaknesses(found: ElementTree.Element) -> list[str]:
    """What is wrong; a scan that could not look is wrong as well."""
    wrong = []
    versions = {(one.get("type"), one.get("version")) for one in found.iter("protocol") if one.get("enabled") == "1"}
    if versions != VERSIONS:
        wrong.append(f"versions {sorted(versions)}")
    ciphers = list(found.iter("cipher"))
    if {cipher.get("sslversion") for cipher in ciphers} != {"TLSv1.2", "TLSv1.3"}:
        wrong.append(f"{len(ciphers)} ciphers, and none with one of the versions")
    for cipher in ciphers:
        name, bits = cipher.get("cipher", ""), int(cipher.get("bits", 0))
        forward_secret = name.startswith("ECDHE-") or cipher.get("sslversion") == "TLSv1.3"
        if bits < CIPHER_BITS or not AEAD.search(name) or not forward_secret:
            wrong.append(f"cipher {name} with {bits} bits")
    wrong += [f"group {one.get('name')}" for one in found.iter("group") if float(one.get("bits", 0)) < GROUP_BITS]
    bleeding = [one.get("vulnerable") for one in found.iter("heartbleed")]
    if not bleeding or set(bleeding) != {"0"}:
        wrong.append(f"heartbleed {bleeding}")
    for one in found.iter("renegotiation"):
        if one.get("supported") == "1" and one.get("secure") != "1":
            wrong.append("renegotiation that is not secure")
    if any(one.get("supported") == "1" for one in found.iter("compression")):
        wrong.append("compression")
    subject = found.findtext(".//subject")
    if subject != "localhost":
        wrong.append(f"the certificate of {subject}")
    return wrong


def describe(mode: str, found: ElementTree.Element) -> str:
    ciphers = [f"{one.get('sslversion')} {one.get('cipher')}" for one in found.iter("cipher")]
    groups = dict.fromkeys(one.get("name") for one in found.iter("group"))
    return f"{mode}: {', '.join(ciphers)}; groups {', '.join(map(str, groups))}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=Path, help="the ftpwarden program; else the one of the release or debug build")
    program = find_gateway(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wrong = []
    with tempfile.TemporaryDirectory(prefix="ftpwarden-scan-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        listeners = {mode: ports.one() for mode in ("explicit", "implicit")}
        certificates = Certificates.make(folder / "certificates")
        file, log = folder / "ftpwarden.toml", folder / "gateway.log"
        file.write_text(configuration(listeners, Greeter().port, certificates))
        daemon = Daemon([str(program), "run", "--config", str(file)], log)
        running.callback(daemon.stop)
        daemon.start()
        for mode, port in listeners.items():
            wait_for_listener(daemon, port, log)
            found = scan(mode, port)
            print(describe(mode, found))
            wrong += [f"{mode}: {weakness}" for weakness in weaknesses(found)]
        if not daemon.is_running():
            wrong.append(f"the gateway is gone\n{tail(log)}")
    for text in wrong:
        print(f"FAILED {text}")
    print(f"{len(wrong)} weaknesses found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
