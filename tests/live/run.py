#!/usr/bin/env python3
"""Drives real FTP clients through the gateway to real FTP servers and compares what arrives on either side.

    tests/live/run.py [--gateway PROGRAM | --direct] [--only WORD,...] [--clear] [--jobs N]

README.md in this folder says what is run and what it needs. The last line is `N passed, N failed`; the exit status is 1
if anything failed. A server or client that is missing is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import clients
import scenarios
import servers
import table
from certificates import Certificates
from clients import Client
from fronts import Direct, Front, Gateway
from ftplib_client import Ftplib
from process import Failed
from scenarios import Scenario, Trial
from servers import Server

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = (clients.Curl, clients.CurlGnutls, clients.Wget, clients.Lftp, clients.Ncftp, clients.Tnftp, Ftplib)


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.stdout.reconfigure(line_buffering=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ftpwarden-live-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers' accounts must get to their homes
        outcomes, wrong = run_matrix(arguments, folder)
    print(table.render(outcomes), end="\n\n")
    for text in wrong:
        print(f"FAILED {text}")
    failed = sum(outcome.mark == table.FAILED for outcome in outcomes) + len(wrong)
    passed = sum(outcome.mark == table.PASSED for outcome in outcomes)
    print(f"in {time.monotonic() - began:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    front = parser.add_mutually_exclusive_group()
    front.add_argument("--gateway", type=Path, help="the ftpwarden program; else the one of the release or debug build")
    front.add_argument("--direct", action="store_true", help="no gateway: tries out servers, clients and this program")
    parser.add_argument("--only", default="", metavar="WORD,...", help="servers, clients and scenarios, by name")
    parser.add_argument("--clear", action="store_true", help="leave out the scenarios with TLS")
    parser.add_argument("--jobs", type=int, default=4, help="trials at a time (default: 4)")
    arguments = parser.parse_args()
    arguments.only = [word for word in arguments.only.split(",") if word]
    known = [one.name for one in (*servers.ALL, *CLIENTS, *scenarios.ALL)]
    for word in arguments.only:
        if word not in known:
            parser.error(f"{word!r} is none of {', '.join(known)}")
    return arguments


def chosen(only: list[str], everything: tuple) -> list:
    """Those that are named; all, when none of this kind is."""
    return [one for one in everything if one.name in only] or list(everything)


def chosen_scenarios(arguments: argparse.Namespace) -> list[Scenario]:
    named = chosen(arguments.only, scenarios.ALL)
    return [scenario for scenario in named if not (arguments.clear and scenario.uses_tls)]


def run_matrix(arguments: argparse.Namespace, folder: Path) -> tuple[list[table.Outcome], list[str]]:
    """All outcomes, and what is wrong beyond single trials."""
    wrong: list[str] = []
    with contextlib.ExitStack() as running:
        certificates = Certificates.make(folder / "certificates")
        all_servers = []
        for kind in chosen(arguments.only, servers.ALL):
            server = kind(folder / kind.name, ROOT / "target/servers", certificates)
            running.callback(server.stop)
            try:
                server.start()
                all_servers.append(server)
            except Failed as failed:
                wrong.append(str(failed))
        all_clients = []
        for kind in chosen(arguments.only, CLIENTS):
            if not any(scenario.name.startswith(kind.tried_with) for scenario in chosen_scenarios(arguments)):
                continue
            try:
                kind().check()
                all_clients.append(kind())
            except Failed as failed:
                wrong.append(str(failed))
        front = Direct(all_servers) if arguments.direct else Gateway(all_servers, find_gateway(arguments), folder)
        running.callback(front.stop)
        try:
            front.start()
        except Failed as failed:
            return [], [*wrong, str(failed)]
        outcomes = run_trials(arguments, folder, all_servers, all_clients, front)
        wrong += front.check_end()
    return outcomes, wrong


def find_gateway(arguments: argparse.Namespace) -> Path:
    candidates = (
        [arguments.gateway]
        if arguments.gateway
        else [ROOT / "target" / kind / "ftpwarden" for kind in ("release", "debug")]
    )
    for candidate in candidates:
        if candidate.exists():
            return candidate.resolve()
    sys.exit(f"no gateway at {' or '.join(map(str, candidates))}: build it first, or say --direct")


def run_trials(
    arguments: argparse.Namespace, folder: Path, all_servers: list[Server], all_clients: list[Client], front: Front
) -> list[table.Outcome]:
    """Scenario by scenario, so that the sessions that run at the same time are with different servers."""
    work = folder / "clients"
    work.mkdir()
    trials = [
        (scenario, server, client)
        for scenario in chosen_scenarios(arguments)
        for client in all_clients
        for server in all_servers
    ]
    outcomes: dict[tuple, table.Outcome] = {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        futures = {pool.submit(run_trial, *trial, front, work): trial for trial in trials}
        try:
            for future in as_completed(futures):
                outcome = future.result()
                outcomes[futures[future]] = outcome
                if outcome.mark == table.FAILED:
                    print(outcome.text, end="\n\n", flush=True)
        except BaseException:  # interrupted: what has not begun shall not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcomes[trial] for trial in trials]


def run_trial(scenario: Scenario, server: Server, client: Client, front: Front, work: Path) -> table.Outcome:
    key = (server.name, client.name, scenario.name)
    reason = scenario.unavailable(server, client, front)
    if reason:
        return table.Outcome(*key, table.UNAVAILABLE, reason)
    began = time.monotonic()
    trial = Trial(scenario, server, client, front, work / "-".join(key))
    try:
        scenario.run(trial)
    except Failed as failed:
        return table.Outcome(*key, table.FAILED, report(trial, str(failed)), time.monotonic() - began)
    except Exception as error:  # a fault of this program must not hide the other outcomes
        return table.Outcome(
            *key, table.FAILED, report(trial, f"{type(error).__name__}: {error}"), time.monotonic() - began
        )
    finally:
        shutil.rmtree(trial.local, ignore_errors=True)
        shutil.rmtree(trial.at_server(""), ignore_errors=True)
    return table.Outcome(*key, table.PASSED, seconds=time.monotonic() - began)


def report(trial: Trial, why: str) -> str:
    title = f"FAILED {trial.server.name} {trial.client.name} {trial.scenario.name}: {why}"
    sections = [title, *map(str, trial.transcripts), f"[log of {trial.server.name}]", trial.server.log_tail()]
    if log := trial.front.log_tail():
        sections += ["[log of the gateway]", log]
    return "\n".join(sections)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("servers that change their root and user need to be started as root")
    sys.exit(main())
