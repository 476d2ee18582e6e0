"""Child processes that cannot outlive a run: each has a group of its own, a deadline, and ends by its own id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class Failed(Exception):
    """A trial did not go as it must; the text says what was expected and what came instead."""


@dataclass
class Finished:
    """What a program that ran to its end (or to its deadline) left behind."""

    command: list[str]
    status: int | None
    output: str

    def __str__(self) -> str:
        ended = "it did not come to its end" if self.status is None else f"exit status {self.status}"
        return f"$ {' '.join(self.command)}\n{self.output}\n[{ended}]"


def end_group(process: subprocess.Popen) -> None:
    """Kills the group that `process` leads. It was started as a leader, so nobody else's process can be in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(command: list[str], *, deadline: float, cwd: Path, env: dict[str, str], feed: str = "") -> Finished:
    """Runs a program to its end with `feed` as its standard input; at `deadline` it is killed with all its children."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(os.fsencode(feed), timeout=max(deadline - time.monotonic(), 0.1))
        status = process.returncode
    except subprocess.TimeoutExpired:
        end_group(process)
        output, _ = process.communicate()
        status = None
    finally:
        end_group(process)
    return Finished(command, status, output.decode("utf-8", "backslashreplace"))


def run_interrupted(
    command: list[str],
    begin: str,
    growing: Path,
    then: str,
    *,
    cwd: Path,
    env: dict[str, str],
    deadline: float,
    signal_number: int = signal.SIGINT,
) -> Finished:
    """Runs a program that reads `begin`, sends it a signal once `growing` has bytes, and lets it go on with `then`."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(os.fsencode(begin))
            process.stdin.flush()
            wait_until(
                lambda: growing.exists() and growing.stat().st_size > 0, deadline, "no byte of the transfer arrived"
            )
            process.send_signal(signal_number)
            process.communicate(os.fsencode(then), timeout=max(deadline - time.monotonic(), 0.1))
            status = process.returncode
        except (subprocess.TimeoutExpired, BrokenPipeError, Failed):
            status = None
        finally:
            end_group(process)
        output.seek(0)
        return Finished(command, status, output.read().decode("utf-8", "backslashreplace"))


def wait_until(holds: Callable[[], bool], deadline: float, otherwise: str) -> None:
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.02)


@dataclass
class Daemon:
    """A long-running program whose output goes to a file. The kernel ends it should this process vanish."""

    command: list[str]
    output: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, seconds: float) -> int | None:
        """Asks it to end and gives its exit status, None if it did not end in time."""
        assert self.process is not None, "not started"
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        if self.process is not None:
            end_group(self.process)
            self.process = None


def tail(path: Path, lines: int = 40) -> str:
    """The end of a log, for a failure's report."""
    if not path.exists():
        return "(no such log)"
    return "\n".join(path.read_text("utf-8", "backslashreplace").splitlines()[-lines:])
