"""What single servers and clients do otherwise among themselves, gateway or not. Each entry is left out, with its reason.

`*` stands for any. An entry for "direct" holds without the gateway only, which then is held to more than the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients import Client
    from fronts import Front
    from servers import Server

# (server, client, scenario, front): reason
KNOWN: dict[tuple[str, str, str, str], str] = {}


def reason(server: Server, client: Client, scenario: str, front: Front) -> str | None:
    for (a_server, a_client, a_scenario, a_front), text in KNOWN.items():
        if (
            a_server in ("*", server.name)
            and a_client in ("*", client.name)
            and a_scenario == scenario
            and a_front in ("*", front.name)
        ):
            return text
    return None
