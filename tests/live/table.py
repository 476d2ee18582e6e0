"""The outcome of a run, as tables for a person and one closing line for a script."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

PASSED, FAILED, UNAVAILABLE = "+", "F", "-"


@dataclass(frozen=True)
class Outcome:
    server: str
    client: str
    scenario: str
    mark: str
    text: str = ""
    seconds: float = 0.0


def render(outcomes: list[Outcome]) -> str:
    """Counts by server and client, marks by scenario and client, then the reasons for what was left out."""
    if not outcomes:
        return "nothing was tried"
    servers, clients, scenarios = (
        list(dict.fromkeys(getattr(outcome, field) for outcome in outcomes))
        for field in ("server", "client", "scenario")
    )
    by_key = {(o.server, o.client, o.scenario): o for o in outcomes}
    sections = [
        _grid("passed/tried", servers, clients, lambda server, client: _count(outcomes, server, client)),
        _grid(
            f"one mark for each of {', '.join(servers)}",
            scenarios,
            clients,
            lambda scenario, client: "".join(by_key[server, client, scenario].mark for server in servers),
        ),
        _left_out(outcomes),
    ]
    return "\n\n".join(section for section in sections if section)


def _count(outcomes: list[Outcome], server: str, client: str) -> str:
    marks = Counter(o.mark for o in outcomes if (o.server, o.client) == (server, client))
    return f"{marks[PASSED]}/{marks[PASSED] + marks[FAILED]}"


def _grid(title: str, rows: list[str], columns: list[str], cell) -> str:
    cells = [[row, *(cell(row, column) for column in columns)] for row in rows]
    table = [["", *columns], *cells]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns) + 1)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([title, *lines])


def _left_out(outcomes: list[Outcome]) -> str:
    """Each reason once, with what it holds for."""
    reasons: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        if outcome.mark == UNAVAILABLE:
            reasons.setdefault(outcome.text, {})[outcome.scenario] = None
    if not reasons:
        return ""
    return "\n".join(["left out (-)", *(f"  {reason}: {', '.join(names)}" for reason, names in reasons.items())])
