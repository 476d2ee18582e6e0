"""What clients connect to: the gateway, or (to try out the harness) the servers themselves."""

from __future__ import annotations

import contextlib
import os
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import ports
from clients import Site
from process import Daemon, Failed, tail
from servers import HOSTS, Server
from tap import Tap

# Verbs whose refusal every client must survive (RFC 2389 §3.2: clients expect 502 for what a server lacks).
REFUSED = (
    "SYST", "FEAT", "OPTS", "CLNT", "SITE", "MLSD", "SIZE", "MDTM", "MFMT", "HELP", "LANG", "HOST", "EPSV", "EPRT",
)  # fmt: skip
START_SECONDS = 10
SETTLE_SECONDS = 10
PASSIVE_PORTS = 64
# The gateway keeps up to 32 pipes of ended transfers for the next ones; each has two ends.
KEPT_PIPE_ENDS = 64


@dataclass(frozen=True)
class Route:
    """A way to a server: the address family on either leg, and the one verb that is refused on it, if any."""

    client: int = 4
    server: int = 4
    refused: str | None = None
    # How TLS begins in front: None is in clear. `clear-data`: explicit, and the client asks for PROT C.
    front: str | None = None
    # How TLS begins between the gateway and the server.
    behind: str | None = None

    def listener(self, server: Server) -> str:
        end = f"-no-{self.refused.lower()}" if self.refused else ""
        end += f"-{self.front}" if self.front else ""
        end += f"-behind-{self.behind}" if self.behind else ""
        return f"{server.name}-client{self.client}-server{self.server}{end}"


PLAIN = Route()
# Their names in scenarios, and what they are.
TLS_ROUTES = {
    "front": Route(front="explicit"),
    "front-clear-data": Route(front="clear-data"),
    "front-implicit": Route(front="implicit"),
    "behind": Route(behind="explicit"),
    "behind-implicit": Route(behind="implicit"),
    "front-and-behind": Route(front="explicit", behind="explicit"),
}
ROUTES = (
    PLAIN, Route(6, 6), Route(6, 4), Route(4, 6), *(Route(refused=verb) for verb in REFUSED), *TLS_ROUTES.values()
)  # fmt: skip


class Front:
    """Common to both: the taps before the servers for the routes with a refused verb."""

    name: str

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.taps: dict[tuple[str, Route], Tap] = {}

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def port(self, server: Server, route: Route) -> int:
        raise NotImplementedError

    def cannot(self, route: Route) -> str | None:
        """Why this front has no such route."""
        return None

    def site(self, server: Server, route: Route, data: str | None = None) -> Site:
        account = server.account
        authority = server.certificates.authority
        host, port = HOSTS[route.client], self.port(server, route)
        return Site(host, port, account.user, account.password, data, route.front, authority)

    def reached_server(self, server: Server, route: Route) -> list[bytes]:
        """Lines with the route's refused verb that got to the server all the same."""
        assert route.refused is not None
        return self.taps[server.name, route].lines_with(route.refused)

    def passive_ports(self, server: Server, route: Route) -> range | None:
        """The ports that offers of passive data connections must come from, where there is such a rule."""
        return None

    def log_tail(self) -> str:
        return ""

    def check_end(self) -> list[str]:
        """What is wrong once all sessions are over."""
        return []


class Direct(Front):
    """No gateway. The taps refuse verbs in its place."""

    name = "direct"

    def start(self) -> None:
        for server in self.servers:
            for route in ROUTES:
                if route.refused:
                    self.taps[server.name, route] = Tap((HOSTS[4], server.ports[4]), route.refused)

    def stop(self) -> None:
        """The taps are threads of this process."""

    def cannot(self, route: Route) -> str | None:
        front = "explicit" if route.front == "clear-data" else route.front
        same = route.client == route.server and front == route.behind and front != "implicit"
        return None if same else "needs the gateway"

    def port(self, server: Server, route: Route) -> int:
        return self.taps[server.name, route].port if route.refused else server.ports[route.client]


class Gateway(Front):
    """One gateway process with a listener for each server and route."""

    name = "gateway"

    def __init__(self, servers: list[Server], program: Path, folder: Path) -> None:
        super().__init__(servers)
        self._folder = folder
        self._log = folder / "gateway.log"
        self._ports = {(s.name, route): ports.one() for s in servers for route in ROUTES}
        self._passive = {s.name: ports.block(PASSIVE_PORTS) for s in servers}
        self._admin = ports.one()
        self._daemon = Daemon([str(program), "run", "--config", str(folder / "ftpwarden.toml")], self._log)
        self._descriptors: Counter[str] = Counter()
        self._expects_refusals = False

    def start(self) -> None:
        for server in self.servers:
            for route in ROUTES:
                if route.refused:
                    self.taps[server.name, route] = Tap((HOSTS[4], server.ports[4]))
        (self._folder / "ftpwarden.toml").write_text(self._configuration())
        self._daemon.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline or not self._daemon.is_running():
                state = "runs" if self._daemon.is_running() else "has ended"
                raise Failed(f"the gateway does not get ready, it {state}\n{tail(self._log)}")
            time.sleep(0.05)
        self._descriptors = self._settled_descriptors()

    def stop(self) -> None:
        self._daemon.stop()

    def port(self, server: Server, route: Route) -> int:
        # Each client is told by hand to send a SITE command there.
        self._expects_refusals |= route.refused == "SITE"
        return self._ports[server.name, route]

    def passive_ports(self, server: Server, route: Route) -> range | None:
        first = self._passive[server.name]
        return range(first, first + PASSIVE_PORTS) if route == PLAIN else None

    def log_tail(self) -> str:
        return tail(self._log)

    def _configuration(self) -> str:
        """The plain routes under `permissive` and from a range of passive ports, the others as they come by default."""
        parts = [f'[admin]\nbind = "127.0.0.1:{self._admin}"\n']
        for verb in REFUSED:
            if verb == "SITE":  # `standard` as it is refuses it
                continue
            parts.append(f'[policies.no-{verb.lower()}]\ndefault = "allow"\ndeny = ["{verb}"]\n')
        for server in self.servers:
            for family, port in server.ports.items():
                parts.append(f'[upstreams.{server.name}{family}]\naddress = "{_address(family, port)}"\n')
            if server.speaks_tls:
                parts.append(self._upstream_tls(server, "explicit", server.ports[4]))
            if server.implicit_port:
                parts.append(self._upstream_tls(server, "implicit", server.implicit_port))
            for route in ROUTES:
                parts.append(self._listener(server, route))
        return "\n".join(parts)

    def _upstream_tls(self, server: Server, mode: str, port: int) -> str:
        reuse = "allowed" if server.name == "pyftpdlib" else "required"
        tls = f'mode = "{mode}", ca = "{server.certificates.authority}", session_reuse = "{reuse}"'
        name = f"{server.name}4-{mode}"
        return f'[upstreams.{name}]\naddress = "{_address(4, port)}"\ntls = {{ {tls} }}\n'

    def _listener(self, server: Server, route: Route) -> str:
        name = route.listener(server)
        lines = [f"[listeners.{name}]", f'bind = "{_address(route.client, self._ports[server.name, route])}"']
        upstream = f"{server.name}{route.server}"
        if route.behind:
            if server.lacks(route.behind):
                return ""
            upstream += f"-{route.behind}"
        if route.front:
            lines.append(self._listener_tls(server, route.front))
        if route == PLAIN:
            first = self._passive[server.name]
            lines += ['policy = "permissive"', f'passive_ports = "{first}-{first + PASSIVE_PORTS - 1}"']
        elif route.refused:
            upstream = name
            tap = f'[upstreams.{name}]\naddress = "127.0.0.1:{self.taps[server.name, route].port}"\n'
            policy = "standard" if route.refused == "SITE" else f"no-{route.refused.lower()}"
            lines = [tap, *lines, f'policy = "{policy}"']
        return "\n".join([*lines, f'upstream = "{upstream}"']) + "\n"

    def _listener_tls(self, server: Server, front: str) -> str:
        """The strictest that there is; in clear data connections only where that is what is tried."""
        certificates = server.certificates
        mode = "implicit" if front == "implicit" else "explicit"
        require = "login" if front == "clear-data" else "data"
        reuse = "allowed" if front == "clear-data" else "required"
        keys = f'certificate = "{certificates.certificate}", key = "{certificates.key}"'
        return f'tls = {{ mode = "{mode}", {keys}, require = "{require}", session_reuse = "{reuse}" }}'

    def _is_ready(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError):
            return bool(self._ask("/readyz"))
        return False

    def _ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}{path}", timeout=5) as answer:
            return answer.read().decode()

    def _count_descriptors(self) -> Counter[str]:
        """The gateway's open descriptors by kind: socket, pipe, ..."""
        kinds: Counter[str] = Counter()
        folder = Path(f"/proc/{self._daemon.pid}/fd")
        for descriptor in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed while we looked
                kinds[os.readlink(descriptor).split(":[")[0]] += 1
        return kinds

    def _settled_descriptors(self) -> Counter[str]:
        """Them once their number has stood still for a while: the answer to our own question is still being closed."""
        last, since = self._count_descriptors(), time.monotonic()
        deadline = since + SETTLE_SECONDS
        while time.monotonic() < min(deadline, since + 0.5):
            time.sleep(0.05)
            if (now := self._count_descriptors()) != last:
                last, since = now, time.monotonic()
        return last

    def check_end(self) -> list[str]:
        """No session is left, and no descriptor: both may take a moment, since servers hang up after clients."""
        if not self._daemon.is_running():
            return ["the gateway is gone"]
        deadline = time.monotonic() + SETTLE_SECONDS
        while (sessions := self._sum("ftpwarden_sessions")) and time.monotonic() < deadline:
            time.sleep(0.2)
        wrong = []
        if sessions:
            wrong.append(f"the gateway still counts {sessions:g} sessions: {self._ask('/status')}")
        descriptors = self._settled_descriptors()
        more, fewer = descriptors - self._descriptors, self._descriptors - descriptors
        if more["pipe"] <= KEPT_PIPE_ENDS:
            del more["pipe"]
        if more or fewer:
            wrong.append(f"the gateway has {dict(more)} more and {dict(fewer)} fewer descriptors than at its start")
        refusals = self._sum("ftpwarden_replies_total", 'code="502"', 'origin="gateway"')
        if self._expects_refusals and not refusals:
            wrong.append("the gateway counts no refusal with 502")
        status = self._daemon.end(SETTLE_SECONDS)
        if status != 0:
            wrong.append(f"the gateway ended with status {status} when it was told to")
        return wrong

    def _sum(self, metric: str, *labels: str) -> float:
        """Adds a metric's samples up that have all these labels."""
        samples = re.findall(rf"^{metric}(?:\{{(.*)\}})? (\S+)$", self._ask("/metrics"), re.MULTILINE)
        return sum(float(value) for have, value in samples if all(label in have for label in labels))


def _address(family: int, port: int) -> str:
    return f"[{HOSTS[6]}]:{port}" if family == 6 else f"{HOSTS[4]}:{port}"
