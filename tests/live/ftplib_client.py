"""Python's ftplib as a client: in this process, so that every byte and every moment can be chosen."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path

from clients import (
    Append,
    Client,
    Delete,
    Download,
    List,
    MakeDirectory,
    Names,
    Raw,
    RemoveDirectory,
    Rename,
    ResumeDownload,
    ResumeUpload,
    Site,
    Step,
    Upload,
)
from process import Failed, Finished, wait_until

# The longest that one reply, or one read of a data connection, may take.
OPERATION_SECONDS = 20


class RecordedFtp(ftplib.FTP_TLS):
    """An FTP session that writes down what was said and uses the data verbs and the TLS that its site names."""

    def __init__(self, site: Site, deadline: float) -> None:
        super().__init__(context=ssl.create_default_context(cafile=site.authority) if site.tls else None)
        self.site = site
        self.deadline = deadline
        self.transcript: list[str] = []

    def open(self) -> None:
        self._limit()
        if self.site.tls == "implicit":
            self._connect_securely()
        else:
            self.connect(self.site.host, self.site.port, timeout=self.timeout)
        self.set_pasv(not self.site.is_active)
        if self.site.tls in ("explicit", "clear-data"):
            self.auth()
        self.login(self.site.user, self.site.password, secure=False)
        if self.site.tls:
            # PROT needs PBSZ first, and Python's prot_c() sends none.
            self.voidcmd("PBSZ 0")
            self.prot_c() if self.site.tls == "clear-data" else self.prot_p()

    def _connect_securely(self) -> None:
        """What connect() does, with TLS before the greeting."""
        self.host, self.port = self.site.host, self.site.port
        clear = socket.create_connection((self.host, self.port), self.timeout)
        self.af = clear.family
        self.sock = self.context.wrap_socket(clear, server_hostname=self.host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def ntransfercmd(self, cmd: str, rest: int | None = None) -> tuple[socket.socket, int | None]:
        """Python resumes no session by itself; servers may want the control connection's."""
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.sock.session
            data = self.context.wrap_socket(data, server_hostname=self.host, session=session)
        return data, size

    def _limit(self) -> None:
        self.timeout = max(min(OPERATION_SECONDS, self.deadline - time.monotonic()), 0.1)
        if self.sock is not None:
            self.sock.settimeout(self.timeout)

    def putcmd(self, line: str) -> None:
        self._limit()
        self.transcript.append(f"---> {line}")
        super().putcmd(line)

    def getmultiline(self) -> str:
        reply = super().getmultiline()
        self.transcript.append(reply)
        return reply

    def makepasv(self) -> tuple[str, int]:
        if self.site.data == "EPSV":
            return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        return super().makepasv()

    def sendport(self, host: str, port: int) -> str:
        if self.site.data == "EPRT":
            return self.sendeprt(host, port)
        return super().sendport(host, port)

    def say(self, line: str) -> str:
        """A command and its reply, whatever it is."""
        self.putcmd(line)
        return self.getmultiline()

    def send_abort(self, form: tuple[tuple[bytes, bool], ...]) -> None:
        """Sends the pieces one by one, those that are marked as urgent data."""
        self.transcript.append(f"---> ABOR as {form}")
        for piece, urgent in form:
            if urgent:
                self.sock.send(piece, socket.MSG_OOB)
            else:
                self.sock.sendall(piece)


# IP, then Synch: the data mark is urgent (RFC 959 §4.1.3, RFC 854). This one all servers understand, and the plain one.
SYNCH = ((b"\xff\xf4", False), (b"\xff", True), (b"\xf2ABOR\r\n", False))
PLAIN = ((b"ABOR\r\n", False),)
OTHER_FORMS = (
    ((b"\xff\xf4\xff", True), (b"\xf2ABOR\r\n", False)),
    ((b"\xff\xf4\xff", False), (b"\xf2", True), (b"ABOR\r\n", False)),
    ((b"\xff\xf4\xff\xf2ABOR\r\n", False),),
    ((b"\xf2ABOR\r\n", False),),
    # FTP.abort() of ftplib itself: the line feed is the urgent byte.
    ((b"ABOR\r\n", True),),
)


class Ftplib(Client):
    name = "ftplib"
    speaks_tls = True
    cannot = {
        "no-epsv": "ftplib has no other way when EPSV is refused",
        "no-eprt": "ftplib has no other way when EPRT is refused",
    }

    def check(self) -> None:
        """It comes with Python."""

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        def talk(ftp: RecordedFtp) -> None:
            for step in steps:
                self._carry_out(ftp, step)

        return self._converse(site, deadline, talk)

    def _converse(self, site: Site, deadline: float, talk: Callable[[RecordedFtp], None]) -> Finished:
        ftp = RecordedFtp(site, deadline)
        status = 0
        try:
            ftp.open()
            talk(ftp)
            ftp.quit()
        except (ftplib.Error, OSError, EOFError, UnicodeDecodeError, Failed) as error:
            ftp.transcript.append(f"{type(error).__name__}: {error}")
            status = 1
        finally:
            ftp.close()
        return Finished(["ftplib", site.url()], status, "\n".join(ftp.transcript))

    def _carry_out(self, ftp: RecordedFtp, step: Step) -> None:
        match step:
            case ResumeUpload(local, remote, offset):
                with local.open("rb") as file:
                    file.seek(offset)
                    ftp.storbinary(f"STOR {remote}", file, rest=offset)
            case Append(local, remote):
                with local.open("rb") as file:
                    ftp.storbinary(f"APPE {remote}", file)
            case Upload(local, remote):
                with local.open("rb") as file:
                    ftp.storbinary(f"STOR {remote}", file, blocksize=65536)
            case ResumeDownload(remote, local):
                with local.open("ab") as file:
                    ftp.retrbinary(f"RETR {remote}", file.write, rest=file.tell())
            case Download(remote, local):
                with local.open("wb") as file:
                    ftp.retrbinary(f"RETR {remote}", file.write, blocksize=65536)
            case List(remote):
                ftp.retrlines(f"LIST {remote}", ftp.transcript.append)
            case Names(remote):
                ftp.retrlines(f"NLST {remote}", ftp.transcript.append)
            case Rename(old, new):
                ftp.rename(old, new)
            case Delete(remote):
                ftp.delete(remote)
            case MakeDirectory(remote):
                ftp.mkd(remote)
            case RemoveDirectory(remote):
                ftp.rmd(remote)
            case Raw(line):
                ftp.say(line)

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        def talk(ftp: RecordedFtp) -> None:
            # RFC 4217 §14: TLS has no urgent data.
            for form in (PLAIN,) if site.tls else (PLAIN, SYNCH):
                break_off_download(ftp, large, form)
            self._carry_out(ftp, after)

        return self._converse(site, deadline, talk)

    def abort_forms(self, site: Site, large: str, work: Path, deadline: float) -> Finished:
        def talk(ftp: RecordedFtp) -> None:
            for form in OTHER_FORMS:
                break_off_download(ftp, large, form)

        return self._converse(site, deadline, talk)

    def abort_upload(
        self, site: Site, upload: Upload, arriving: Path, after: Step, work: Path, deadline: float
    ) -> Finished:
        def talk(ftp: RecordedFtp) -> None:
            for form in (PLAIN, SYNCH):
                ftp.voidcmd("TYPE I")
                data = ftp.transfercmd(f"STOR {upload.remote}")
                data.sendall(bytes(1 << 20))
                # Before a byte has arrived, pyftpdlib answers ABOR and never the upload.
                wait_until(lambda: arriving.exists() and arriving.stat().st_size > 0, deadline, "no byte arrived")
                ftp.send_abort(form)
                data.close()
                read_aborted(ftp)
            self._carry_out(ftp, after)

        return self._converse(site, deadline, talk)

    def vanish(self, site: Site, step: Upload | Download, growing: Path, work: Path, deadline: float) -> Finished:
        """Both connections are reset, as when a client's machine is switched off and on."""

        def talk(ftp: RecordedFtp) -> None:
            ftp.voidcmd("TYPE I")
            if isinstance(step, Download):
                data = ftp.transfercmd(f"RETR {step.remote}")
                data.recv(65536)
            else:
                data = ftp.transfercmd(f"STOR {step.remote}")
                data.sendall(bytes(1 << 20))
            for connection in (data, ftp.sock):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            raise Failed("vanished")

        return self._converse(site, deadline, talk)


def drain(data: socket.socket) -> int:
    """Reads a data connection to its end, which may be a reset: how many bytes came."""
    received = 0
    with data, contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while chunk := data.recv(1 << 16):
            received += len(chunk)
    return received


def break_off_download(ftp: RecordedFtp, large: str, form: tuple[tuple[bytes, bool], ...]) -> None:
    """Begins a download, sends ABOR, takes what is on its way, and has the transfer's reply agree with what came."""
    ftp.voidcmd("TYPE I")
    size = ftp.size(large)
    data = ftp.transfercmd(f"RETR {large}")
    received = len(data.recv(65536))
    ftp.send_abort(form)
    received += drain(data)
    ftp.transcript.append(f"({received} bytes of {size})")
    transfer = read_aborted(ftp)
    if transfer.startswith("2") and received != size:
        raise Failed(f"a broken transfer was reported as complete: {transfer}")


def read_aborted(ftp: RecordedFtp) -> str:
    """Two final replies, the transfer's and ABOR's; then NOOP gets its own, so none is left over. Gives the first."""
    transfer, abort, noop = ftp.getmultiline(), ftp.getmultiline(), ftp.say("NOOP")
    if not noop.startswith("200"):
        raise Failed(f"the replies to ABOR and NOOP are out of step: {transfer}, {abort}, {noop}")
    return transfer
