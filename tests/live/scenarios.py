"""What is tried with every pair of server and client, and judged by the files on both sides, never by texts alone."""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import differences
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
from fronts import PLAIN, REFUSED, TLS_ROUTES, Front, Route
from process import Failed, Finished, wait_until
from servers import LARGE_BYTES, Server

FILE_BYTES = 300_000
# Beyond what 32 bits count, with something to read on both sides of the edge.
HUGE_BYTES = (1 << 32) + (3 << 20)
HUGE_EDGE = (1 << 32) - 12_345
LISTED_FILES = 200
MANY_FILES = 200
# No CR, LF or 0xFF: those no client sends as they are.
ODD_NAMES = (
    "two words.bin",
    "it's.bin",
    'say "hello".bin',
    " leading blank.bin",
    "hash#mark.bin",
    "100%41 percent.bin",
    "semi;colon & ampersand.bin",
    "naïve Füße 日本.bin",
)
# ABOR as transcripts show it, and right behind it a reply that says success.
ABORT_TAKEN_FOR_END = re.compile(r"^(?:---> |Cmd: )ABOR.*\n(?:<--- )?2\d\d.*", re.MULTILINE)
ODD_DIRECTORY = 'a "quoted" dir%20'


@dataclass
class Trial:
    """One scenario with one pair: its places on both sides, its deadline, and all that was said."""

    scenario: Scenario
    server: Server
    client: Client
    front: Front
    local: Path
    transcripts: list[Finished] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.scenario.seconds
        self.directory = f"{self.client.name}-{self.scenario.name}"
        self.local.mkdir()
        self.server.make_directory(self.directory)

    @property
    def site(self) -> Site:
        return self.front.site(self.server, self.scenario.route, self.scenario.data)

    def can(self, step: type) -> bool:
        return step not in self.client.cannot

    def remote(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def at_server(self, name: str) -> Path:
        return self.server.home / self.directory / name

    def place(self, name: str, content: bytes) -> Path:
        """Puts a file where the server finds it."""
        path = self.at_server(name)
        path.write_bytes(content)
        self.server.own(path)
        return path

    def write(self, name: str, content: bytes) -> Path:
        path = self.local / name
        path.write_bytes(content)
        return path

    def session(self, *steps: Step) -> Finished:
        finished = self.client.session(self.site, list(steps), self.local, self.deadline)
        return self.completed(finished)

    def completed(self, finished: Finished) -> Finished:
        self.transcripts.append(finished)
        if finished.status is None:
            raise Failed("the client did not come to its end")
        if self.client.tells_failure and finished.status != 0:
            raise Failed(f"the client ended with status {finished.status}")
        return finished

    def expect_same(self, one: Path, other: Path) -> None:
        for path in (one, other):
            if not path.exists():
                raise Failed(f"{path.name} is not there")
        if digest(one) != digest(other):
            raise Failed(f"{one.name} and {other.name} differ ({one.stat().st_size} and {other.stat().st_size} bytes)")

    def expect_gone(self, path: Path) -> None:
        if path.exists():
            raise Failed(f"{path.name} is still there")

    def expect_said(self, finished: Finished, *words: str) -> None:
        for word in words:
            if word not in finished.output:
                raise Failed(f"the client's transcript lacks {word!r}")


@dataclass(frozen=True)
class Scenario:
    """`needs` are the steps it cannot go without; `data` is the verb that sets up its data connections."""

    name: str
    run: Callable[[Trial], None]
    needs: tuple[type, ...] = ()
    route: Route = PLAIN
    data: str | None = None
    seconds: float = 30
    only: tuple[str, str] | None = None

    @property
    def uses_tls(self) -> bool:
        return bool(self.route.front or self.route.behind)

    def unavailable(self, server: Server, client: Client, front: Front) -> str | None:
        """Why this pair does not try it, if so."""
        if self.only and self.only != (server.name, client.name):
            return f"tried with {' and '.join(self.only)} only"
        if self.route.front and not client.speaks_tls:
            return f"{client.name} speaks no TLS"
        if not self.name.startswith(client.tried_with):
            return f"{client.name} is tried with {'* and '.join(client.tried_with)}* only"
        if self.route.behind and (lacking := server.lacks(self.route.behind)):
            return lacking
        for need in (self.name, *self.needs):
            if need in client.cannot:
                return client.cannot[need]
        return differences.reason(server, client, self.name, front) or front.cannot(self.route)


def some_bytes(count: int = FILE_BYTES) -> bytes:
    return random.randbytes(count)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def login(trial: Trial) -> None:
    """The right password lets in, a wrong one does not."""
    trial.place("file.bin", some_bytes())
    local = trial.local / "file.bin"
    wrong = trial.site.with_password("wrong")
    refused = trial.client.session(wrong, [Download(trial.remote("file.bin"), local)], trial.local, trial.deadline)
    trial.transcripts.append(refused)
    trial.expect_said(refused, trial.client.login_refused)
    if local.exists() and local.stat().st_size:
        raise Failed("a download with a wrong password succeeded")
    trial.session(Download(trial.remote("file.bin"), local))
    trial.expect_same(trial.at_server("file.bin"), local)


def listing(trial: Trial, step: type[List] | type[Names]) -> None:
    names = [f"{random.getrandbits(64):016x}" for _ in range(LISTED_FILES)]
    for name in names:
        trial.place(name, b"")
    said = trial.session(step(trial.directory)).output
    missing = [name for name in names if name not in said]
    if missing:
        raise Failed(f"{len(missing)} of {LISTED_FILES} names are missing in the listing, the first is {missing[0]}")


def list_directory(trial: Trial) -> None:
    listing(trial, List)


def list_names(trial: Trial) -> None:
    listing(trial, Names)


def upload(trial: Trial) -> None:
    local = trial.write("file.bin", some_bytes())
    trial.session(Upload(local, trial.remote("up.bin")))
    trial.expect_same(local, trial.at_server("up.bin"))


def overwrite(trial: Trial) -> None:
    """What is shorter than the old file leaves nothing of it."""
    trial.place("up.bin", some_bytes(2 * FILE_BYTES))
    upload(trial)


def download(trial: Trial) -> None:
    remote = trial.place("file.bin", some_bytes())
    trial.session(Download(trial.remote("file.bin"), trial.local / "down.bin"))
    trial.expect_same(remote, trial.local / "down.bin")


def resume_download(trial: Trial) -> None:
    content = some_bytes()
    remote = trial.place("file.bin", content)
    local = trial.write("down.bin", content[:123_456])
    # Never older than the remote file, or ncftp starts afresh.
    os.utime(local, (remote.stat().st_mtime + 60,) * 2)
    finished = trial.session(ResumeDownload(trial.remote("file.bin"), local))
    trial.expect_same(remote, local)
    trial.expect_said(finished, "REST 123456")


def resume_upload(trial: Trial) -> None:
    content = some_bytes()
    local = trial.write("file.bin", content)
    remote = trial.place("up.bin", content[:123_456])
    finished = trial.session(ResumeUpload(local, trial.remote("up.bin"), 123_456))
    trial.expect_same(local, remote)
    if not re.search("REST 123456|APPE", finished.output):
        raise Failed("the client began afresh")


def append(trial: Trial) -> None:
    begin, end = some_bytes(), some_bytes(FILE_BYTES // 2)
    remote = trial.place("log.bin", begin)
    trial.session(Append(trial.write("more.bin", end), trial.remote("log.bin")))
    trial.expect_same(remote, trial.write("both.bin", begin + end))


def many_files(trial: Trial) -> None:
    """One session with data connections in a row: what is used up by them runs out."""
    contents = {f"{number}.bin": some_bytes(1000 + number) for number in range(MANY_FILES)}
    steps: list[Step] = []
    for number, (name, content) in enumerate(contents.items()):
        if number % 2 and trial.can(Upload):
            steps.append(Upload(trial.write(f"up{name}", content), trial.remote(name)))
        else:
            trial.place(name, content)
            steps.append(Download(trial.remote(name), trial.local / f"down{name}"))
    trial.session(*steps)
    for step in steps:
        if isinstance(step, Upload):
            trial.expect_same(step.local, trial.at_server(Path(step.remote).name))
        else:
            trial.expect_same(trial.at_server(Path(step.remote).name), step.local)


def rename(trial: Trial) -> None:
    content = some_bytes()
    old = trial.place("old.bin", content)
    trial.session(Rename(trial.remote("old.bin"), trial.remote("new name.bin")))
    trial.expect_gone(old)
    trial.expect_same(trial.at_server("new name.bin"), trial.write("same.bin", content))


def delete(trial: Trial) -> None:
    remote = trial.place("file.bin", some_bytes())
    trial.session(Delete(trial.remote("file.bin")))
    trial.expect_gone(remote)


def directories(trial: Trial) -> None:
    made, kept = trial.remote(ODD_DIRECTORY), trial.remote("kept")
    local = trial.write("file.bin", some_bytes())
    trial.session(MakeDirectory(made), MakeDirectory(kept), Upload(local, f"{made}/x.bin"))
    trial.expect_same(local, trial.at_server(ODD_DIRECTORY) / "x.bin")
    trial.session(Delete(f"{made}/x.bin"), RemoveDirectory(made))
    trial.expect_gone(trial.at_server(ODD_DIRECTORY))
    if not trial.at_server("kept").is_dir():
        raise Failed("the other directory is gone")


def odd_names(trial: Trial) -> None:
    names = [name for name in ODD_NAMES if not differences.name_reason(trial.server, trial.client, name)]
    if trial.can(Upload):
        sources = {name: trial.write(f"source{number}", some_bytes()) for number, name in enumerate(names)}
        trial.session(*(Upload(local, trial.remote(name)) for name, local in sources.items()))
        for name, local in sources.items():
            trial.expect_same(local, trial.at_server(name))
    else:
        for name in names:
            trial.place(name, some_bytes())
    targets = {name: trial.local / f"target{number}" for number, name in enumerate(names)}
    trial.session(*(Download(trial.remote(name), local) for name, local in targets.items()))
    for name, local in targets.items():
        trial.expect_same(trial.at_server(name), local)


def empty_file(trial: Trial) -> None:
    remote = trial.place("empty.bin", b"")
    steps: list[Step] = [Download(trial.remote("empty.bin"), trial.local / "down.bin")]
    if trial.can(Upload):
        steps.append(Upload(trial.write("empty.bin", b""), trial.remote("up.bin")))
    trial.session(*steps)
    # wget and ncftp make no file where no byte came.
    if (trial.local / "down.bin").exists() and (trial.local / "down.bin").stat().st_size:
        raise Failed("an empty file has become one with content")
    if trial.can(Upload):
        trial.expect_same(remote, trial.at_server("up.bin"))


def large_download(trial: Trial) -> None:
    trial.session(Download(trial.server.large.name, trial.local / "large.bin"))
    trial.expect_same(trial.server.large, trial.local / "large.bin")


def large_upload(trial: Trial) -> None:
    trial.session(Upload(trial.server.large, trial.remote("large.bin")))
    trial.expect_same(trial.server.large, trial.at_server("large.bin"))


def huge_download(trial: Trial) -> None:
    """More than 4 GiB, never laid down here: the client writes into a pipe. Then a resumption beyond 4 GiB."""
    huge = trial.at_server("huge.bin")
    with huge.open("wb") as file:
        for offset in (0, HUGE_EDGE, HUGE_BYTES - FILE_BYTES):
            file.seek(offset)
            file.write(some_bytes())
    trial.server.own(huge)
    pipe = trial.local / "pipe"
    os.mkfifo(pipe)
    with in_background(lambda: digest(huge)) as expected, in_background(lambda: digest(pipe)) as received:
        trial.session(Download(trial.remote("huge.bin"), pipe))
        if expected() != received():
            raise Failed("the file that came is another than the file that is there")
    resumed = trial.local / "resumed.bin"
    offset = (1 << 32) + 7
    with resumed.open("wb") as file:
        file.truncate(offset)
    trial.session(ResumeDownload(trial.remote("huge.bin"), resumed))
    with huge.open("rb") as one, resumed.open("rb") as other:
        one.seek(offset)
        other.seek(offset)
        if one.read() != other.read():
            raise Failed("what was resumed beyond 4 GiB differs")


def abort_download(trial: Trial) -> None:
    """Broken off and gone on with in the same session."""
    local = trial.write("after.bin", some_bytes())
    after = Upload(local, trial.remote("after.bin"))
    arguments = (trial.site, trial.server.large.name, after, trial.local, trial.deadline)
    trial.completed(trial.client.abort_download(*arguments))
    trial.expect_same(local, trial.at_server("after.bin"))
    broken = trial.local / "broken"
    if broken.exists() and broken.stat().st_size >= LARGE_BYTES:
        raise Failed("the transfer was over before it could be broken off")


def abort_upload(trial: Trial) -> None:
    local = trial.write("after.bin", some_bytes())
    after = Upload(local, trial.remote("after.bin"))
    broken = trial.at_server("broken.bin")
    upload = Upload(trial.server.large, trial.remote("broken.bin"))
    finished = trial.client.abort_upload(trial.site, upload, broken, after, trial.local, trial.deadline)
    trial.completed(finished)
    trial.expect_same(local, trial.at_server("after.bin"))
    # Servers take the client's end of data for the end of the file where they read ABOR late; the gateway must not.
    if trial.front.name == "gateway" and (said := re.search(ABORT_TAKEN_FOR_END, finished.output)):
        raise Failed(f"a broken transfer was reported as complete: {said[0]!r}")
    if broken.exists() and broken.stat().st_size >= LARGE_BYTES:
        raise Failed("the transfer was over before it could be broken off")


def abort_forms(trial: Trial) -> None:
    """Where urgent data are lost or misplaced on the way, ABOR is ABOR still."""
    trial.completed(trial.client.abort_forms(trial.site, trial.server.large.name, trial.local, trial.deadline))


def vanish(trial: Trial) -> None:
    """The client dies in the middle of a transfer; the next one is served as ever."""
    target = trial.local / "broken.bin"
    site, local, deadline = trial.site, trial.local, trial.deadline
    download_step = Download(trial.server.large.name, target)
    trial.transcripts.append(trial.client.vanish(site, download_step, target, local, deadline))
    if target.exists() and target.stat().st_size >= LARGE_BYTES:
        raise Failed("the transfer was over before the client could vanish")
    if trial.can(Upload):
        arriving = trial.at_server("broken.bin")
        upload_step = Upload(trial.server.large, trial.remote("broken.bin"))
        trial.transcripts.append(trial.client.vanish(site, upload_step, arriving, local, deadline))
        wait_until(arriving.exists, deadline, "no byte of the upload arrived")
        if arriving.stat().st_size >= LARGE_BYTES:
            raise Failed("the transfer was over before the client could vanish")
    download(trial)


def data_connections(trial: Trial) -> None:
    """A listing and a transfer either way, by the scenario's verb and over its address families."""
    steps: list[Step] = [List(trial.directory)]
    remote = trial.place("file.bin", some_bytes())
    steps.append(Download(trial.remote("file.bin"), trial.local / "down.bin"))
    source = trial.write("source.bin", some_bytes())
    if trial.can(Upload):
        steps.append(Upload(source, trial.remote("up.bin")))
    finished = trial.session(*steps)
    trial.expect_said(finished, "file.bin")
    trial.expect_same(remote, trial.local / "down.bin")
    if trial.can(Upload):
        trial.expect_same(source, trial.at_server("up.bin"))
    if trial.scenario.data:
        trial.expect_said(finished, trial.scenario.data)
    expect_offers_within(finished.output, trial.front.passive_ports(trial.server, trial.scenario.route))


def expect_offers_within(output: str, allowed: range | None) -> None:
    classic = re.findall(r"\((?:\d+,){4}(\d+),(\d+)\)", output)
    offered = [int(high) * 256 + int(low) for high, low in classic]
    offered += [int(port) for port in re.findall(r"\(\|\|\|(\d+)\|\)", output)]
    outside = [port for port in offered if allowed is not None and port not in allowed]
    if outside:
        raise Failed(f"passive ports {outside} are outside of {allowed}")


def refused_verb(trial: Trial) -> None:
    """The client goes on without the verb; the server is never sent it."""
    verb = trial.scenario.route.refused
    steps: list[Step] = []
    if verb == "SITE" and trial.can(Raw):
        steps.append(Raw(f"SITE CHMOD 600 {trial.remote('file.bin')}"))
    remote = trial.place("file.bin", some_bytes())
    mode = remote.stat().st_mode
    source = trial.write("source.bin", some_bytes())
    if trial.can(Upload):
        steps.append(Upload(source, trial.remote("up.bin")))
    steps += [Download(trial.remote("file.bin"), trial.local / "down.bin"), List(trial.directory)]
    finished = trial.session(*steps)
    trial.expect_same(remote, trial.local / "down.bin")
    trial.expect_said(finished, "file.bin")
    if trial.can(Upload):
        trial.expect_same(source, trial.at_server("up.bin"))
    if verb == "SITE" and trial.can(Raw):
        trial.expect_said(finished, "502")
    if remote.stat().st_mode != mode:
        raise Failed("the refused SITE CHMOD was carried out")
    reached = trial.front.reached_server(trial.server, trial.scenario.route)
    if reached:
        raise Failed(f"the server was sent {reached[0]!r}")


class in_background:
    """Runs a function in a thread; what `with` gives is a function that waits for its result."""

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function
        self._result = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._result = self._function()

    def __enter__(self) -> Callable[[], str]:
        self._thread.start()
        return self._wait

    def _wait(self) -> str:
        self._thread.join(60)
        return self._result

    def __exit__(self, *_: object) -> None:
        """A thread that waits for a writer of its pipe that never came is given up."""


def _all() -> Iterator[Scenario]:
    yield Scenario("login", login)
    yield Scenario("list", list_directory, (List,))
    yield Scenario("names", list_names, (Names,))
    yield Scenario("download", download)
    yield Scenario("upload", upload, (Upload,))
    yield Scenario("overwrite", overwrite, (Upload,))
    yield Scenario("resume-download", resume_download, (ResumeDownload,))
    yield Scenario("resume-upload", resume_upload, (Upload, ResumeUpload))
    yield Scenario("append", append, (Upload, Append))
    yield Scenario("rename", rename, (Rename,))
    yield Scenario("delete", delete, (Delete,))
    yield Scenario("directories", directories, (MakeDirectory, RemoveDirectory, Upload, Delete))
    yield Scenario("odd-names", odd_names, seconds=60)
    yield Scenario("empty-file", empty_file)
    yield Scenario("large-download", large_download, seconds=90)
    yield Scenario("large-upload", large_upload, (Upload,), seconds=90)
    yield Scenario("huge-download", huge_download, seconds=240, only=("vsftpd", "curl"))
    yield Scenario("abort-download", abort_download, (Upload,), seconds=60)
    yield Scenario("abort-upload", abort_upload, (Upload,), seconds=60)
    yield Scenario("abort-forms", abort_forms, seconds=60)
    yield Scenario("vanish", vanish, seconds=60)
    for data in ("PASV", "EPSV", "PORT", "EPRT"):
        yield Scenario(f"data-{data.lower()}", data_connections, (List,), data=data)
    for client, server in ((6, 6), (6, 4), (4, 6)):
        route = Route(client, server)
        name = f"client{client}-server{server}"
        yield Scenario(name, data_connections, (List,), route)
        yield Scenario(f"{name}-active", data_connections, (List,), route, "EPRT" if client == 6 else "PORT")
    for name, route in TLS_ROUTES.items():
        yield Scenario(f"tls-{name}-list", list_directory, (List,), route)
        yield Scenario(f"tls-{name}-download", download, route=route)
        yield Scenario(f"tls-{name}-upload", upload, (Upload,), route)
        yield Scenario(f"tls-{name}-resume-download", resume_download, (ResumeDownload,), route)
        yield Scenario(f"tls-{name}-resume-upload", resume_upload, (Upload, ResumeUpload), route)
        yield Scenario(f"tls-{name}-empty-file", empty_file, route=route)
        yield Scenario(f"tls-{name}-large-download", large_download, route=route, seconds=90)
        yield Scenario(f"tls-{name}-large-upload", large_upload, (Upload,), route, seconds=90)
        yield Scenario(f"tls-{name}-abort-download", abort_download, (Upload,), route, seconds=60)
        yield Scenario(f"tls-{name}-many-files", many_files, route=route, seconds=120)
        yield Scenario(f"tls-{name}-active", data_connections, (List,), route, "PORT")
    for verb in REFUSED:
        data = verb if verb in ("EPSV", "EPRT") else None
        yield Scenario(f"no-{verb.lower()}", refused_verb, (List,), Route(refused=verb), data)


ALL = tuple(_all())
