"""An authority for one run, and the one certificate that it issues: for localhost and both of its addresses."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificates:
    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def both(self) -> Path:
        """Key and certificate in one file."""
        return self.folder / "both.pem"

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        made = cls(folder)
        folder.mkdir()
        authority_key, request = folder / "ca.key", folder / "server.csr"
        extensions = folder / "extensions"
        extensions.write_text(f"{_NAMES}\nbasicConstraints=CA:FALSE\n")
        _openssl("req", "-x509", *_KEY, "-keyout", authority_key, "-out", made.authority, "-subj", "/CN=Live test", "-days", "7")
        _openssl("req", *_KEY, "-keyout", made.key, "-out", request, "-subj", "/CN=localhost")
        signer = ("-CA", made.authority, "-CAkey", authority_key, "-CAcreateserial")
        _openssl("x509", "-req", "-in", request, *signer, "-out", made.certificate, "-days", "7", "-extfile", extensions)
        made.both.write_bytes(made.key.read_bytes() + made.certificate.read_bytes())
        for secret in (made.key, made.both, authority_key):
            secret.chmod(0o600)
        return made


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
