"""A tap on control connections: stands before a server and writes down every line that the server is sent.

Told to, it also answers chosen verbs with 502 itself. So it can take the gateway's place where the clients alone are
tried out: a client that does not bear a refusal from the tap will not bear it from the gateway either.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading

import ports

_FINAL = re.compile(rb"[2-6]\d\d( |\r?$)")
_READ_BYTES = 65536


class Tap:
    """Listens on 127.0.0.1 for as long as the process lives. Data connections go past it, straight to the server."""

    def __init__(self, upstream: tuple[str, int], refused: str | None = None) -> None:
        self.port = ports.one()
        self._upstream = upstream
        self._refused = refused
        self._lines: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def lines_with(self, verb: str) -> list[bytes]:
        """The lines with this verb that reached the server."""
        return [line for line in list(self._lines) if _verb(line) == verb]

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._upstream) as server:
            _Session(client, server, self._refused, self._lines).run()


class _Session:
    """One control connection. A refusal waits until the server has answered all that came before it."""

    def __init__(self, client: socket.socket, server: socket.socket, refused: str | None, lines: list[bytes]) -> None:
        self._client = client
        self._server = server
        self._refused = refused
        self._lines = lines
        self._commands = b""
        self._replies = b""
        self._reply_code: bytes | None = None
        self._owed = 1  # the greeting

    def run(self) -> None:
        while True:
            readable, _, _ = select.select([self._client, self._server], [], [])
            for connection in readable:
                received = connection.recv(_READ_BYTES)
                if not received:
                    return
                if connection is self._server:
                    self._pass_replies(received)
                else:
                    self._commands += received
            self._pass_commands()

    def _pass_commands(self) -> None:
        while b"\n" in self._commands:
            line, rest = self._commands.split(b"\n", 1)
            if self._refused and _verb(line) == self._refused:
                if self._owed:
                    return
                self._client.sendall(b"502 Command not implemented.\r\n")
            else:
                self._lines.append(line)
                self._server.sendall(line + b"\n")
                self._owed += 1
            self._commands = rest

    def _pass_replies(self, received: bytes) -> None:
        self._replies += received
        while b"\n" in self._replies:
            line, self._replies = self._replies.split(b"\n", 1)
            if self._is_feature_refused(line):
                continue
            self._client.sendall(line + b"\n")
            self._count(line)

    def _count(self, line: bytes) -> None:
        """Follows multi-line replies: the last line has the first one's code and a blank."""
        if self._reply_code is None and re.match(rb"\d\d\d-", line):
            self._reply_code = line[:3]
        elif self._reply_code is None or line.startswith(self._reply_code + b" "):
            if _FINAL.match(line):
                self._owed = max(self._owed - 1, 0)
            self._reply_code = None

    def _is_feature_refused(self, line: bytes) -> bool:
        """FEAT must not offer what is refused; MLST stands for MLSD there (RFC 3659 §7.8)."""
        if not self._refused or self._reply_code != b"211":
            return False
        label = line.strip().split(b" ")[0].upper().decode("ascii", "replace")
        return label == {"MLSD": "MLST"}.get(self._refused, self._refused)


def _verb(line: bytes) -> str:
    return line.strip(b"\xff\xf2\xf4\r ").split(b" ")[0].upper().decode("ascii", "replace")
