"""The real clients. Each turns the same steps into its own command line or script and is run as a person would run it.

What a client cannot do is said here, with the reason, and shown as `-`; everything else it must do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.parse
from dataclasses import dataclass, replace
from pathlib import Path

from process import Failed, Finished, run, run_interrupted


@dataclass(frozen=True)
class Site:
    """Where and how a client connects. `data` is the verb that sets up data connections; None is the client's habit."""

    host: str
    port: int
    user: str
    password: str
    data: str | None = None
    # How TLS begins; `clear-data` is explicit with PROT C.
    tls: str | None = None
    # Whose certificates are believed.
    authority: Path = Path()

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def is_active(self) -> bool:
        return self.data in ("PORT", "EPRT")

    def url(self, path: str = "") -> str:
        host = f"[{self.host}]" if self.is_ipv6 else self.host
        scheme = "ftps" if self.tls == "implicit" else "ftp"
        return f"{scheme}://{host}:{self.port}/{urllib.parse.quote(path)}"

    def with_password(self, password: str) -> Site:
        return replace(self, password=password)


@dataclass(frozen=True)
class Upload:
    local: Path
    remote: str


@dataclass(frozen=True)
class ResumeUpload(Upload):
    """The remote file holds the first `offset` bytes of the local one."""

    offset: int


@dataclass(frozen=True)
class Append(Upload):
    """The local file is put behind what the remote one holds."""


@dataclass(frozen=True)
class Download:
    remote: str
    local: Path


@dataclass(frozen=True)
class ResumeDownload(Download):
    """The local file holds the beginning of the remote one."""


@dataclass(frozen=True)
class Rename:
    old: str
    new: str


@dataclass(frozen=True)
class Delete:
    remote: str


@dataclass(frozen=True)
class MakeDirectory:
    remote: str


@dataclass(frozen=True)
class RemoveDirectory:
    remote: str


@dataclass(frozen=True)
class List:
    """The long listing of a directory."""

    remote: str


@dataclass(frozen=True)
class Names:
    """The bare names in a directory."""

    remote: str


@dataclass(frozen=True)
class Raw:
    """One command, sent as it stands."""

    line: str


Step = Upload | Download | Rename | Delete | MakeDirectory | RemoveDirectory | List | Names | Raw


class Client:
    """A client program. `cannot` maps scenario names and step types to the reason why it cannot do them."""

    name: str
    cannot: dict[object, str] = {}
    # What it says when the server refuses the login.
    login_refused = "530"
    # Whether it speaks TLS.
    speaks_tls = False
    # How the names of the scenarios begin that it is tried with.
    tried_with: tuple[str, ...] = ("",)
    # Whether its exit status tells that a step failed; scenarios look at the files in any case.
    tells_failure = True

    def check(self) -> None:
        if not shutil.which(self.name):
            raise Failed(f"the client {self.name} is missing; run tests/install")

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        """Carries out the steps, in one session where the program can."""
        raise NotImplementedError

    def abort_forms(self, site: Site, large: str, work: Path, deadline: float) -> Finished:
        """Sends ABOR in all the forms that clients have been seen to send."""
        raise NotImplementedError

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        """Breaks off a download as the program's user can, then does one more step in the same session."""
        raise NotImplementedError

    def abort_upload(
        self, site: Site, upload: Upload, arriving: Path, after: Step, work: Path, deadline: float
    ) -> Finished:
        """The same for an upload; `arriving` is the file at the server."""
        raise NotImplementedError

    def slow_command(self, site: Site, step: Upload | Download, work: Path) -> tuple[list[str], str]:
        """Command line and standard input of a transfer that takes long enough to be killed in its middle."""
        raise NotImplementedError

    def vanish(self, site: Site, step: Upload | Download, growing: Path, work: Path, deadline: float) -> Finished:
        """Dies in the middle of a transfer without a word: killed as soon as something has arrived in `growing`."""
        command, feed = self.slow_command(site, step, work)
        return run_interrupted(
            command,
            feed,
            growing,
            "",
            cwd=work,
            env=self.environment(work),
            deadline=deadline,
            signal_number=signal.SIGKILL,
        )

    def environment(self, work: Path) -> dict[str, str]:
        """A home of its own, so that no habit of the machine's user gets into a test."""
        return {"HOME": str(work), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "dumb"}

    def run(self, command: list[str], work: Path, deadline: float, feed: str = "") -> Finished:
        return run(command, deadline=deadline, cwd=work, env=self.environment(work), feed=feed)


class Curl(Client):
    name = "curl"
    speaks_tls = True
    cannot = {
        "abort-forms": "only ftplib can choose how it sends ABOR",
        "abort-upload": "curl has no way to break off an upload but to die",
    }

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        command = ["curl", "--disable", "--fail-early"]
        for number, step in enumerate(steps):
            command += ["--next"] * (number > 0) + self._options(site, deadline) + self._step(site, step)
        return self.run(command, work, deadline)

    def _options(self, site: Site, deadline: float) -> list[str]:
        data = {
            None: [],
            "EPSV": [],
            "PASV": ["--disable-epsv"],
            "EPRT": ["--ftp-port", "-"],
            "PORT": ["--ftp-port", "-", "--disable-eprt"],
        }[site.data]
        login = ["--user", f"{site.user}:{site.password}"]
        tls = {
            None: [],
            "explicit": ["--ssl-reqd"],
            "implicit": [],
            "clear-data": ["--ftp-ssl-control"],
        }[site.tls]
        trust = ["--cacert", str(site.authority)] if site.tls else []
        return ["--silent", "--show-error", "--verbose", *login, *data, *tls, *trust]

    def _step(self, site: Site, step: Step) -> list[str]:
        match step:
            case ResumeUpload(local, remote, _):
                return ["--continue-at", "-", "--upload-file", str(local), site.url(remote)]
            case Append(local, remote):
                return ["--append", "--upload-file", str(local), site.url(remote)]
            case Upload(local, remote):
                return ["--upload-file", str(local), site.url(remote)]
            case ResumeDownload(remote, local):
                return ["--continue-at", "-", "--output", str(local), site.url(remote)]
            case Download(remote, local):
                return ["--output", str(local), site.url(remote)]
            case List(remote):
                return [site.url(f"{remote}/")]
            case Names(remote):
                return ["--list-only", site.url(f"{remote}/")]
            case Rename(old, new):
                return self._quote(site, f"RNFR {old}", f"RNTO {new}")
            case Delete(remote):
                return self._quote(site, f"DELE {remote}")
            case MakeDirectory(remote):
                return self._quote(site, f"MKD {remote}")
            case RemoveDirectory(remote):
                return self._quote(site, f"RMD {remote}")
            case Raw(line):
                # The asterisk lets curl go on after an error reply.
                return self._quote(site, f"*{line}")

    def _quote(self, site: Site, *lines: str) -> list[str]:
        """Commands alone: `--head` of the login directory transfers nothing."""
        return [part for line in lines for part in ("--quote", line)] + ["--head", site.url()]

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        """A range that ends early: curl sends ABOR and uses the session for its next URL."""
        first = [*self._options(site, deadline), "--range", "0-9999", "--output", str(work / "range"), site.url(large)]
        then = ["--next", *self._options(site, deadline), *self._step(site, after)]
        return self.run(["curl", "--disable", "--fail-early", *first, *then], work, deadline)

    def slow_command(self, site: Site, step: Upload | Download, work: Path) -> tuple[list[str], str]:
        slow = ["curl", "--disable", "--fail-early", "--limit-rate", "1M"]
        return [*slow, *self._options(site, 0), *self._step(site, step)], ""


class CurlGnutls(Client):
    """libcurl over GnuTLS: Debian builds the command with OpenSSL only, and Python's binding with GnuTLS."""

    name = "curl-gnutls"
    speaks_tls = True
    # It is another client in its TLS alone.
    tried_with = ("tls-front-", "tls-behind-")
    _program = ("/usr/bin/python3", str(Path(__file__).with_name("pycurl_client.py")))

    def check(self) -> None:
        command = [*self._program, "--version"]
        if not Path(command[0]).exists() or "GnuTLS" not in subprocess.run(command, capture_output=True, text=True).stdout:
            raise Failed("pycurl with GnuTLS is missing; run tests/install")

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        return self._run(site, [self._step(site, step) for step in steps], work, deadline)

    def _run(self, site: Site, transfers: list[dict[str, object]], work: Path, deadline: float) -> Finished:
        common = {
            "USERPWD": f"{site.user}:{site.password}",
            "CAINFO": str(site.authority),
            "USE_SSL": {"explicit": "USESSL_ALL", "clear-data": "USESSL_CONTROL"}.get(site.tls or "", "USESSL_NONE"),
        }
        if site.tls in ("explicit", "implicit"):
            # Over 1.3 curl 7.88 takes its session before GnuTLS has the ticket and never resumes: vsftpd and ProFTPD refuse
            # its data connections as the gateway does.
            common["SSLVERSION"] = "SSLVERSION_MAX_TLSv1_2"
        if site.is_active:
            common |= {"FTPPORT": "-", "FTP_USE_EPRT": int(site.data == "EPRT")}
        feed = json.dumps([common | transfer for transfer in transfers])
        return self.run(list(self._program), work, deadline, feed)

    def _step(self, site: Site, step: Step) -> dict[str, object]:
        match step:
            case ResumeUpload(local, remote, _):
                return {"URL": site.url(remote), "upload": str(local), "RESUME_FROM": -1}
            case Upload(local, remote):
                return {"URL": site.url(remote), "upload": str(local)}
            case ResumeDownload(remote, local):
                return {"URL": site.url(remote), "download": str(local), "RESUME_FROM": local.stat().st_size}
            case Download(remote, local):
                return {"URL": site.url(remote), "download": str(local)}
            case List(remote):
                return {"URL": site.url(f"{remote}/")}
        raise AssertionError(step)

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        """A range that ends early, as with curl."""
        first = {"URL": site.url(large), "RANGE": "0-9999", "download": str(work / "range")}
        return self._run(site, [first, self._step(site, after)], work, deadline)


class Wget(Client):
    name = "wget"
    speaks_tls = True
    _only_downloads = "wget only downloads"
    cannot = {
        Upload: _only_downloads,
        Names: "wget asks for LIST only",
        Rename: _only_downloads,
        Delete: _only_downloads,
        MakeDirectory: _only_downloads,
        RemoveDirectory: _only_downloads,
        Raw: "wget sends no commands of its user's",
        "data-epsv": "wget sends EPSV over IPv6 only",
        "data-eprt": "wget sends EPRT over IPv6 only",
        "no-epsv": "wget sends EPSV over IPv6 only",
        "no-eprt": "wget sends EPRT over IPv6 only",
        "abort-forms": "only ftplib can choose how it sends ABOR",
        "abort-download": "wget has no way to break off a download but to die",
        "abort-upload": _only_downloads,
    }

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        """One run per step: wget opens a session for each URL."""
        outputs = []
        finished = Finished([], 0, "")
        for step in steps:
            finished = self.run(self._command(site, step), work, deadline)
            outputs.append(str(finished))
            if finished.status != 0:
                break
        return Finished(finished.command, finished.status, "\n".join(outputs))

    def _command(self, site: Site, step: Step, extra: tuple[str, ...] = ()) -> list[str]:
        command = ["wget", "--no-config", "--server-response", "--tries=1", "--progress=dot:giga", *extra]
        command += [f"--ftp-user={site.user}", f"--ftp-password={site.password}"]
        command += ["--no-passive-ftp"] * site.is_active
        command += [f"--ca-certificate={site.authority}"] * bool(site.tls)
        command += ["--ftps-implicit"] * (site.tls == "implicit")
        command += ["--ftps-clear-data-connection"] * (site.tls == "clear-data")
        # Over 1.3 wget 1.21 takes its session right behind the handshake: where the ticket is some 20 ms late, data connections
        # do not resume and are refused, by vsftpd and the gateway alike. Over 1.2 the session is whole by then.
        command += ["--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.2"] * (site.tls in ("explicit", "implicit"))
        match step:
            case ResumeDownload(remote, local):
                return [*command, "--continue", "--output-document", str(local), _wget_url(site, remote)]
            case Download(remote, local):
                return [*command, "--output-document", str(local), _wget_url(site, remote)]
            case List(remote):
                return [*command, "--output-document", "-", _wget_url(site, f"{remote}/")]
        raise AssertionError(step)

    def slow_command(self, site: Site, step: Upload | Download, work: Path) -> tuple[list[str], str]:
        return self._command(site, step, ("--limit-rate=1m",)), ""


class Lftp(Client):
    name = "lftp"
    speaks_tls = True
    cannot = {
        "abort-forms": "only ftplib can choose how it sends ABOR",
        Append: "lftp cannot append",
        "data-eprt": "lftp sends EPRT over IPv6 only",
        "no-eprt": "lftp sends EPRT over IPv6 only",
    }

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        return self._run(site, [self._step(step) for step in steps], work, deadline)

    def _run(self, site: Site, lines: list[str], work: Path, deadline: float) -> Finished:
        script = work / "lftp.script"
        script.write_bytes(os.fsencode("\n".join([*self._opening(site), *lines]) + "\n"))
        return self.run(["lftp", "--norc", "-f", str(script)], work, deadline)

    def _opening(self, site: Site) -> list[str]:
        settings = {
            "cmd:fail-exit": "yes",
            "cmd:move-background": "no",
            "net:max-retries": "3",
            "net:reconnect-interval-base": "1",
            "net:timeout": "15",
            "xfer:clobber": "yes",
            "ftp:passive-mode": "no" if site.is_active else "yes",
            "ftp:prefer-epsv": "yes" if site.data == "EPSV" else "no",
            "ftp:ssl-allow": "yes" if site.tls else "no",
            "ftp:ssl-force": "yes" if site.tls else "no",
            "ftp:ssl-protect-data": "no" if site.tls == "clear-data" else "yes",
            "ssl:ca-file": str(site.authority) if site.tls else "",
            # The certificate names the host that it is dialled as; GnuTLS of Debian 12 does not compare addresses.
            "ssl:check-hostname": "no",
        }
        return [
            *(f"set {key} {value}" for key, value in settings.items()),
            "debug 5",
            f"open -u {site.user},{site.password} -p {site.port} {'ftps://' * (site.tls == 'implicit')}{site.host}",
        ]

    def _step(self, step: Step) -> str:
        match step:
            case ResumeUpload(local, remote, _):
                return f"put -c {_quoted(local)} -o {_quoted(remote)}"
            case Upload(local, remote):
                return f"put {_quoted(local)} -o {_quoted(remote)}"
            case ResumeDownload(remote, local):
                return f"get -c {_quoted(remote)} -o {_quoted(local)}"
            case Download(remote, local):
                return f"get {_quoted(remote)} -o {_quoted(local)}"
            case List(remote):
                return f"cls -l {_quoted(remote)}"
            case Names(remote):
                return f"nlist {_quoted(remote)}"
            case Rename(old, new):
                return f"mv {_quoted(old)} {_quoted(new)}"
            case Delete(remote):
                return f"rm {_quoted(remote)}"
            case MakeDirectory(remote):
                return f"mkdir {_quoted(remote)}"
            case RemoveDirectory(remote):
                return f"rmdir {_quoted(remote)}"
            case Raw(line):
                return f"set cmd:fail-exit no\nquote {_quoted(line)}\nset cmd:fail-exit yes"
        raise AssertionError(step)

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        return self._abort(site, Download(large, work / "broken"), after, work, deadline)

    def abort_upload(
        self, site: Site, upload: Upload, arriving: Path, after: Step, work: Path, deadline: float
    ) -> Finished:
        return self._abort(site, upload, after, work, deadline)

    def _abort(self, site: Site, transfer: Step, after: Step, work: Path, deadline: float) -> Finished:
        """A transfer in the background, slow enough to be there still when it is killed; lftp sends ABOR with Synch."""
        lines = ["set net:limit-rate 1M", f"{self._step(transfer)} &", "sleep 1", "kill all", "set net:limit-rate 0"]
        return self._run(site, [*lines, self._step(after)], work, deadline)

    def slow_command(self, site: Site, step: Upload | Download, work: Path) -> tuple[list[str], str]:
        lines = [*self._opening(site), "set net:limit-rate 1M", self._step(step)]
        return ["lftp", "--norc"], "\n".join(lines) + "\n"


class Ncftp(Client):
    name = "ncftp"
    login_refused = "was not accepted for login"
    tells_failure = False
    _ipv4_only = "NcFTP 3.2 speaks IPv4 only"
    cannot = {
        "abort-forms": "only ftplib can choose how it sends ABOR",
        "data-epsv": "NcFTP 3.2 has no EPSV",
        "data-eprt": "NcFTP 3.2 has no EPRT",
        "no-epsv": "NcFTP 3.2 has no EPSV",
        "no-eprt": "NcFTP 3.2 has no EPRT",
        "client6-server6": _ipv4_only,
        "client6-server6-active": _ipv4_only,
        "client6-server4": _ipv4_only,
        "client6-server4-active": _ipv4_only,
    }

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        return self.run(self._command(site), work, deadline, self._script(site, steps))

    def _command(self, site: Site) -> list[str]:
        return ["ncftp", "-u", site.user, "-p", site.password, "-P", str(site.port), site.host]

    def _script(self, site: Site, steps: list[Step]) -> str:
        opening = [f"set passive {'off' if site.is_active else 'on'}", "set auto-resume yes", "debug 2"]
        return "\n".join([*opening, *map(self._step, steps), "quit"]) + "\n"

    def _step(self, step: Step) -> str:
        match step:
            case ResumeUpload(local, remote, _):
                return f"put -z {_ncftp_quoted(local)} {_ncftp_quoted(remote)}"
            case Append(local, remote):
                return f"put -A -f -z {_ncftp_quoted(local)} {_ncftp_quoted(remote)}"
            case Upload(local, remote):
                return f"put -f -z {_ncftp_quoted(local)} {_ncftp_quoted(remote)}"
            case ResumeDownload(remote, local):
                return f"get -z {_ncftp_quoted(remote)} {_ncftp_quoted(local)}"
            case Download(remote, local):
                return f"get -f -z {_ncftp_quoted(remote)} {_ncftp_quoted(local)}"
            case List(remote):
                return f"dir {_ncftp_quoted(remote)}"
            case Names(remote):
                return f"ls {_ncftp_quoted(remote)}"
            case Rename(old, new):
                return f"rename {_ncftp_quoted(old)} {_ncftp_quoted(new)}"
            case Delete(remote):
                return f"rm {_ncftp_quoted(remote)}"
            case MakeDirectory(remote):
                return f"mkdir {_ncftp_quoted(remote)}"
            case RemoveDirectory(remote):
                return f"rmdir {_ncftp_quoted(remote)}"
            case Raw(line):
                return f"quote {line}"
        raise AssertionError(step)

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        return self._abort(site, Download(large, work / "broken"), work / "broken", after, work, deadline)

    def abort_upload(
        self, site: Site, upload: Upload, arriving: Path, after: Step, work: Path, deadline: float
    ) -> Finished:
        return self._abort(site, upload, arriving, after, work, deadline)

    def _abort(self, site: Site, step: Step, growing: Path, after: Step, work: Path, deadline: float) -> Finished:
        begin = self._script(site, [step]).removesuffix("quit\n")
        command, then = self._command(site), f"{self._step(after)}\nquit\n"
        return run_interrupted(command, begin, growing, then, cwd=work, env=self.environment(work), deadline=deadline)

    def slow_command(self, site: Site, step: Upload | Download, work: Path) -> tuple[list[str], str]:
        return self._command(site), self._script(site, [step])


class Tnftp(Client):
    name = "tnftp"
    tells_failure = False
    cannot = {
        "abort-forms": "only ftplib can choose how it sends ABOR",
    }

    def session(self, site: Site, steps: list[Step], work: Path, deadline: float) -> Finished:
        return self.run(self._command(site), work, deadline, self._script(site, steps))

    def _command(self, site: Site) -> list[str]:
        return ["tnftp", "-inv", *(["-A"] * site.is_active), "-N", "/dev/null", site.host, str(site.port)]

    def _script(self, site: Site, steps: list[Step]) -> str:
        extended = ["epsv4 off"] if site.data in ("PASV", "PORT") else []
        opening = ["debug", *extended, f"user {site.user} {site.password}", "binary", "progress off"]
        return "\n".join([*opening, *map(self._step, steps), "quit"]) + "\n"

    def _step(self, step: Step) -> str:
        match step:
            case ResumeUpload(local, remote, offset):
                return f"restart {offset}\nput {_escaped(local)} {_escaped(remote)}"
            case Append(local, remote):
                return f"append {_escaped(local)} {_escaped(remote)}"
            case Upload(local, remote):
                return f"put {_escaped(local)} {_escaped(remote)}"
            case ResumeDownload(remote, local):
                return f"reget {_escaped(remote)} {_escaped(local)}"
            case Download(remote, local):
                return f"get {_escaped(remote)} {_escaped(local)}"
            case List(remote):
                return f"dir {_escaped(remote)}"
            case Names(remote):
                return f"nlist {_escaped(remote)}"
            case Rename(old, new):
                return f"rename {_escaped(old)} {_escaped(new)}"
            case Delete(remote):
                return f"delete {_escaped(remote)}"
            case MakeDirectory(remote):
                return f"mkdir {_escaped(remote)}"
            case RemoveDirectory(remote):
                return f"rmdir {_escaped(remote)}"
            case Raw(line):
                return f"quote {line}"
        raise AssertionError(step)

    def abort_download(self, site: Site, large: str, after: Step, work: Path, deadline: float) -> Finished:
        return self._abort(site, Download(large, work / "broken"), work / "broken", after, work, deadline)

    def abort_upload(
        self, site: Site, upload: Upload, arriving: Path, after: Step, work: Path, deadline: float
    ) -> Finished:
        """tnftp sends no ABOR here: it ends the data connection and takes the server's word for it."""
        return self._abort(site, upload, arriving, after, work, deadline)

    def _abort(self, site: Site, step: Step, growing: Path, after: Step, work: Path, deadline: float) -> Finished:
        begin = "rate all 1M\n" + self._script(site, [step]).removesuffix("quit\n")
        command, then = self._command(site), f"rate all 0\n{self._step(after)}\nquit\n"
        return run_interrupted(command, begin, growing, then, cwd=work, env=self.environment(work), deadline=deadline)

    def slow_command(self, site: Site, step: Upload | Download, work: Path) -> tuple[list[str], str]:
        return self._command(site), "rate all 1M\n" + self._script(site, [step])


def _wget_url(site: Site, path: str) -> str:
    """For wget `ftps` is TLS of either kind."""
    url = site.url(path)
    return url.replace("ftp://", "ftps://", 1) if site.tls else url


def _quoted(word: object) -> str:
    """A word for lftp."""
    text = str(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _ncftp_quoted(word: object) -> str:
    """A word for ncftp, which has quotes of both kinds and no escape within them."""
    quote = "'" if '"' in str(word) else '"'
    return f"{quote}{word}{quote}"


def _escaped(word: object) -> str:
    """A word for tnftp, where a backslash counts outside of quotes only."""
    return "".join(f"\\{character}" if character in " \"'\\" else character for character in str(word))
