"""Ports for servers, listeners and passive ranges, none of them fixed."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

_taken: set[int] = set()
_lock = threading.Lock()


def _ephemeral_floor() -> int:
    """Below this port the system itself gives out none, so a port found free there stays free."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def _is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def block(count: int) -> int:
    """The first of `count` ports in a row, free on both loopback addresses and given to nobody else in this run."""
    ceiling = _ephemeral_floor()
    with _lock:
        for _ in range(1000):
            first = random.randrange(10_000, ceiling - count)
            wanted = range(first, first + count)
            if _taken.isdisjoint(wanted) and all(map(_is_free, wanted)):
                _taken.update(wanted)
                return first
    raise RuntimeError(f"no {count} free ports in a row below {ceiling}")


def one() -> int:
    """A port whose lower neighbour is free as well: the source of active data connections (RFC 959 §3.2)."""
    return block(2) + 1
