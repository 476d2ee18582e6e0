"""What single servers and clients do otherwise among themselves, gateway or not: left out, with the reason.

`*` stands for any. An entry for "direct" holds without the gateway only, which then is held to more than the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients import Client
    from fronts import Front
    from servers import Server

_ORDER = "ProFTPD may answer ABOR before the upload that it ends, and ncftp is out of step then"
_SILENCE = "Pure-FTPd does not answer ABOR with Synch where it saw the end of the upload first"
_TELNET = "the server itself does not find ABOR behind misplaced Telnet bytes"

_ONE_TICKET = "curl 7.88 keeps one TLS 1.3 ticket and spends it; an upload gives none, and reuse is demanded here"
_ACTIVE_TLS = "curl 7.88 never begins the handshake of a data connection in active mode, with any server"
_ONE_FILE = "wget opens a session for each file"

# (server, client, scenario, front): reason
KNOWN: dict[tuple[str, str, str, str], str] = {
    ("proftpd", "ncftp", "abort-upload", "direct"): _ORDER,
    ("pure-ftpd", "ftplib", "abort-upload", "direct"): _SILENCE,
    ("proftpd", "ftplib", "abort-forms", "direct"): _TELNET,
    ("inetutils", "ftplib", "abort-forms", "direct"): _TELNET,
    **{
        ("*", "curl", f"tls-{route}-{scenario}", "*"): _ONE_TICKET
        for route in ("front", "front-implicit", "front-and-behind")
        for scenario in ("many-files", "empty-file")
    },
    **{
        ("*", client, f"tls-{route}-active", "*"): _ACTIVE_TLS
        for client in ("curl", "curl-gnutls")
        for route in ("front", "front-implicit", "front-and-behind")
    },
    **{
        ("*", "wget", f"tls-{route}-many-files", "*"): _ONE_FILE
        for route in ("front", "front-clear-data", "front-implicit", "behind", "behind-implicit", "front-and-behind")
    },
}

# (server, client, name): reason. The name alone is left out.
NAMES: dict[tuple[str, str, str], str] = {
    ("pure-ftpd", "curl", " leading blank.bin"): "Pure-FTPd drops blanks before an argument",
}


def reason(server: Server, client: Client, scenario: str, front: Front) -> str | None:
    for (a_server, a_client, a_scenario, a_front), text in KNOWN.items():
        pairs = ((a_server, server.name), (a_client, client.name), (a_scenario, scenario), (a_front, front.name))
        if all(wanted in ("*", given) for wanted, given in pairs):
            return text
    return None


def name_reason(server: Server, client: Client, name: str) -> str | None:
    return NAMES.get((server.name, client.name, name))
