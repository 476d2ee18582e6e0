"""The real servers, each with its own folder, account and configuration, on 127.0.0.1 and on ::1.

They run in a mount namespace of their own (enclosure.sh) and find the test's account there, most of them through PAM as
where they are used. So no account of the machine is read or made, and their processes end with the namespace.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import ports
from certificates import Certificates
from process import Daemon, Failed, tail

HERE = Path(__file__).resolve().parent
START_SECONDS = 10
LARGE_BYTES = 64 << 20
HOSTS = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True)
class Account:
    """The one account of a server: made for the run, known nowhere else."""

    user: str
    password: str
    uid: int

    @classmethod
    def new(cls) -> Account:
        used = {entry.pw_uid for entry in pwd.getpwall()}
        uid = random.choice([uid for uid in range(50_000, 60_000) if uid not in used])
        return cls("live", secrets.token_hex(12), uid)

    def write(self, etc: Path, home: Path, pam_service: str) -> None:
        """The files that make it exist in an enclosure: passwd, group, shadow and the server's PAM service."""
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=self.password, capture_output=True, text=True, check=True
        ).stdout.strip()
        etc.mkdir()
        passwd, group = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
        (etc / "passwd").write_text(f"{passwd}{self.user}:x:{self.uid}:{self.uid}::{home}:/bin/sh\n")
        (etc / "group").write_text(f"{group}{self.user}:x:{self.uid}:\n")
        (etc / "shadow").write_text(f"{self.user}:{hashed}:19000:0:99999:7:::\n")
        (etc / "shadow").chmod(0o600)
        (etc / "pam.d").mkdir()
        (etc / "pam.d" / pam_service).write_text(
            "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n"
        )


class SyslogFile:
    """Stands where /dev/log is in an enclosure and writes what it is told to a file, so that a failure can show it."""

    def __init__(self, path: Path, file: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._file = file
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            while message := self._socket.recv(65536):
                file.write(message.rstrip(b"\n\0") + b"\n")


class Server:
    """A server program, running once per address family over the same home folder."""

    name: str
    pam_service: str
    # Whether it takes AUTH TLS, and then wants data connections to resume the session of their control connection.
    speaks_tls = True
    # Whether it can begin with TLS as well: a process of its own then does so, on 127.0.0.1.
    speaks_implicit_tls = False

    def __init__(self, folder: Path, programs: Path, certificates: Certificates) -> None:
        self.folder = folder
        self.programs = programs
        self.certificates = certificates
        self.home = folder / "home"
        self.log = folder / "server.log"
        self.account = Account.new()
        self.ports: dict[int, int] = {}
        self.implicit_port: int | None = None
        self._daemons: list[Daemon] = []

    def program(self, path: str) -> str:
        program = self.programs / path
        if not program.exists():
            raise Failed(f"{self.name} is missing: no {program}; run tests/install")
        return str(program)

    def command(self, family: int, port: int, implicit: bool) -> list[str]:
        """The program with its arguments, after whatever configuration it needs was written."""
        raise NotImplementedError

    def lacks(self, tls: str) -> str | None:
        """Why it cannot be reached over TLS that begins so."""
        if not self.speaks_tls:
            return f"{self.name} speaks no TLS"
        return None if tls == "explicit" or self.speaks_implicit_tls else f"{self.name} cannot begin with TLS"

    def prepare(self) -> None:
        self.folder.mkdir()
        self.home.mkdir(mode=0o755)
        os.chown(self.home, self.account.uid, self.account.uid)

        with self.large.open("wb") as file:
            for _ in range(LARGE_BYTES >> 20):
                file.write(random.randbytes(1 << 20))

    @property
    def large(self) -> Path:
        """A file for all scenarios that need a long transfer; the account may read it only."""
        return self.home / "large.bin"

    def start(self) -> None:
        self.prepare()
        for family in HOSTS:
            self.ports[family] = self._start(family)
        if self.speaks_implicit_tls:
            self.implicit_port = self._start(4, implicit=True)

    def _start(self, family: int, implicit: bool = False) -> int:
        """Another process may take the port between our look and the server's bind; then the next one is tried."""
        for _ in range(3):
            port = ports.one()
            enclosed = self._in_enclosure(f"{family}{'-implicit' * implicit}", self.command(family, port, implicit))
            daemon = Daemon(enclosed, self.log)
            daemon.start()
            if wait_for_greeting(HOSTS[family], port, daemon, implicit):
                self._daemons.append(daemon)
                return port
            daemon.stop()
        raise Failed(f"{self.name} does not start on {HOSTS[family]}\n{tail(self.log)}")

    def _in_enclosure(self, name: str, command: list[str]) -> list[str]:
        enclosure = self.folder / f"enclosure{name}"
        shutil.rmtree(enclosure, ignore_errors=True)
        enclosure.mkdir()
        (enclosure / "dev").mkdir()
        self.account.write(enclosure / "etc", self.home, self.pam_service)
        SyslogFile(enclosure / "log", self.log)
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*unshare, str(HERE / "enclosure.sh"), str(enclosure), *command]

    def stop(self) -> None:
        for daemon in self._daemons:
            daemon.stop()

    def make_directory(self, name: str) -> None:
        path = self.home / name
        path.mkdir()
        self.own(path)

    def log_tail(self) -> str:
        return tail(self.log)

    def own(self, path: Path) -> None:
        os.chown(path, self.account.uid, self.account.uid)


class Vsftpd(Server):
    name = "vsftpd"
    pam_service = "vsftpd"
    speaks_implicit_tls = True

    def command(self, family: int, port: int, implicit: bool) -> list[str]:
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        listen = {4: ("listen", "listen_address"), 6: ("listen_ipv6", "listen_address6")}[family]
        settings = {
            "listen": "NO",
            "listen_ipv6": "NO",
            listen[0]: "YES",
            listen[1]: HOSTS[family],
            "listen_port": port,
            "background": "NO",
            "anonymous_enable": "NO",
            "local_enable": "YES",
            "write_enable": "YES",
            "local_umask": "022",
            "pam_service_name": self.pam_service,
            "chroot_local_user": "YES",
            "allow_writeable_chroot": "YES",
            "secure_chroot_dir": empty,
            "async_abor_enable": "YES",
            "delay_failed_login": 0,
            "max_per_ip": 0,
            "log_ftp_protocol": "YES",
            "xferlog_enable": "YES",
            "vsftpd_log_file": self.log,
            "ssl_enable": "YES",
            "implicit_ssl": "YES" if implicit else "NO",
            "rsa_cert_file": self.certificates.certificate,
            "rsa_private_key_file": self.certificates.key,
            "require_ssl_reuse": "YES",
            "strict_ssl_read_eof": "YES",
            "force_local_logins_ssl": "NO",
            "force_local_data_ssl": "NO",
            "ssl_ciphers": "HIGH",
        }
        configuration = self.folder / f"vsftpd{port}.conf"
        configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return [self.program("vsftpd/usr/sbin/vsftpd"), str(configuration)]


class Proftpd(Server):
    name = "proftpd"
    pam_service = "proftpd"
    speaks_implicit_tls = True

    def command(self, family: int, port: int, implicit: bool) -> list[str]:
        modules = Path(self.program("proftpd/usr/sbin/proftpd")).parents[1] / "lib/proftpd"
        configuration = self.folder / f"proftpd{port}.conf"
        configuration.write_text(
            f"""
ServerName "Live test"
ServerType standalone
ModulePath {modules}
LoadModule mod_site_misc.c
LoadModule mod_tls.c
TLSEngine on
TLSLog {self.folder}/tls.log
TLSECCertificateFile {self.certificates.certificate}
TLSECCertificateKeyFile {self.certificates.key}
TLSProtocol TLSv1.2 TLSv1.3
{"TLSOptions UseImplicitSSL" if implicit else ""}
DefaultServer on
UseIPv6 {"on" if family == 6 else "off"}
DefaultAddress {HOSTS[family]}
SocketBindTight on
Port {port}
User nobody
Group nogroup
UseReverseDNS off
DelayEngine off
WtmpLog off
ControlsEngine off
RequireValidShell off
AuthPAMConfig {self.pam_service}
DefaultRoot ~
AllowOverwrite on
AllowRetrieveRestart on
AllowStoreRestart on
PidFile {self.folder}/proftpd{port}.pid
ScoreboardFile {self.folder}/proftpd{port}.scoreboard
SystemLog {self.log}
TransferLog none
LogFormat commands "[%P] %r -> %s"
ExtendedLog {self.folder}/commands.log ALL commands
"""
        )
        return [self.program("proftpd/usr/sbin/proftpd"), "--nodaemon", "--config", str(configuration)]

    def log_tail(self) -> str:
        return "\n".join((tail(self.folder / "commands.log"), tail(self.log)))


class PureFtpd(Server):
    name = "pure-ftpd"
    pam_service = "pure-ftpd"

    def command(self, family: int, port: int, implicit: bool) -> list[str]:
        return [
            self.program("pure-ftpd/usr/sbin/pure-ftpd"),
            f"--bind={HOSTS[family]},{port}",
            f"--pidfile={self.folder}/pure-ftpd{family}.pid",
            "--login=pam",
            "--noanonymous",
            "--chrooteveryone",
            "--dontresolve",
            "--maxclientsnumber=200",
            "--verboselog",
            "--verboselog",
            "--tls=1",
            f"--certfile={self.certificates.both}",
        ]


class Inetutils(Server):
    """It changes the root of anonymous sessions only: the account sees the machine's whole tree, as on old systems."""

    name = "inetutils"
    pam_service = "ftp"
    speaks_tls = False

    def command(self, family: int, port: int, implicit: bool) -> list[str]:
        ftpd = [self.program("inetutils/usr/sbin/ftpd"), "--logging", "--logging", "--debug"]
        return [sys.executable, str(HERE / "inetd.py"), HOSTS[family], str(port), *ftpd]


class Pyftpdlib(Server):
    """It knows its accounts itself, without PAM."""

    name = "pyftpdlib"
    pam_service = "none"
    speaks_implicit_tls = True

    def command(self, family: int, port: int, implicit: bool) -> list[str]:
        library = Path(self.program("pyftpdlib/pyftpdlib/__init__.py")).parents[1]
        password = self.folder / "password"
        password.write_text(self.account.password)
        password.chmod(0o600)
        uid = str(self.account.uid)
        arguments = [HOSTS[family], str(port), uid, uid, self.account.user, str(password), str(self.home)]
        arguments += [str(self.certificates.both), "implicit" if implicit else "explicit"]
        return ["env", f"PYTHONPATH={library}", sys.executable, str(HERE / "pyftpd.py"), *arguments]


ALL = (Vsftpd, Proftpd, PureFtpd, Inetutils, Pyftpdlib)


def wait_for_greeting(host: str, port: int, daemon: Daemon, implicit: bool) -> bool:
    trust_anybody = ssl.create_default_context()
    trust_anybody.check_hostname = False
    trust_anybody.verify_mode = ssl.CERT_NONE
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and daemon.is_running():
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=START_SECONDS) as control:
            with trust_anybody.wrap_socket(control) if implicit else control as greeted:
                return greeted.recv(512).startswith(b"220")
        time.sleep(0.05)
    return False
