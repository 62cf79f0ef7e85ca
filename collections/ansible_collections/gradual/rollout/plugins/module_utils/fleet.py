# Copyright: the Gradual project
# BSD-2-Clause license (see LICENSES/BSD-2-Clause.txt)
"""What a rollout makes of the hosts it finds. Pure functions.

A *host* is the result of the module host_info, a dictionary with clock_off, free_bytes, current, running, flags.
A *manifest* is the normalised release manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger import epoch

Host = Mapping[str, Any]
MEBIBYTE = 1024 * 1024


def fleet_problems(
    hosts: Mapping[str, Host],
    balancers: Mapping[str, Sequence[Mapping[str, Any]]],
    application: Sequence[str],
    free_megabytes: int = 500,
    skew_seconds: float = 5,
    artifact_bytes: int = 0,
) -> list[str]:
    """Say why this fleet cannot carry a rollout; an empty list when it can.

    hosts: every host of the fleet by name; balancers: the servers that each balancer knows; application: the
    names of the application hosts; artifact_bytes: size of the packed artifact, of which a host must hold three
    times as much.
    """
    problems = []
    needed = max(free_megabytes, 3 * artifact_bytes // MEBIBYTE)
    for name, host in sorted(hosts.items()):
        skew = float(host["clock_off"])
        if abs(skew) > skew_seconds:
            problems.append(
                f"{name}: its clock is {skew:+.0f} s off the controller's, at most {skew_seconds:.0f} s are allowed, "
                "since a stage ends by the host's own clock; start chrony there, then try again"
            )
        for path, free in sorted(host["free_bytes"].items()):
            if free < needed * MEBIBYTE:
                problems.append(f"{name}: {free // MEBIBYTE} MB are free at {path}, {needed} MB are needed; make room")
    for balancer, servers in sorted(balancers.items()):
        known = {server["name"] for server in servers}
        for name in application:
            if name not in known:
                problems.append(
                    f"{balancer}: it does not know the server {name} (it knows {', '.join(sorted(known)) or 'none'}); "
                    "run playbooks/provision.yml, or take the host out of the group application"
                )
    serving = [name for name in application if hosts.get(name, {}).get("running")]
    up = {server["name"] for servers in balancers.values() for server in servers if server["state"] == "ready"}
    idle = sorted(set(serving) - up) if serving else []
    if serving and len(serving) - len(idle) < 2:
        problems.append(
            f"only {len(serving) - len(idle)} of {len(application)} application hosts serves users; "
            "while one is switched another must serve: bring one more into traffic first"
        )
    return problems


def releases_on_hosts(hosts: Mapping[str, Host]) -> dict[str, Any]:
    """Return what runs on each host now: {host: {"version", "digest", "directory"} or None}."""
    return {name: host.get("current") or None for name, host in hosts.items()}


def servers_on_balancers(balancers: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, str]]:
    """Return the state of each server on each balancer, as a rollout finds them: {balancer: {server: state}}."""
    return {balancer: {server["name"]: server["state"] for server in servers} for balancer, servers in balancers.items()}


def in_line(hosts: Mapping[str, Host], manifest: Mapping[str, Any]) -> bool:
    """Tell whether every host runs this very release with every feature at 100 %."""
    wanted = manifest["artifact"]["sha256"]
    return all(
        (host.get("running") or {}).get("digest") == wanted
        and all(_shown_to_all(host.get("flags"), feature["flag"]) for feature in manifest["features"])
        for host in hosts.values()
    )


def _shown_to_all(flags: Mapping[str, Any] | None, flag: str) -> bool:
    definition = ((flags or {}).get("flags") or {}).get(flag) or {}
    return definition.get("targeting") == {"fractional": [["on", 100], ["off", 0]]}


def flags_at(
    features: Sequence[Mapping[str, Any]],
    certified: int,
    baking: int | None = None,
    expiry: int | None = None,
    labels: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return the list `flags` of the module feature_flags: every feature at the same share of users, in percent."""
    return [
        {"flag": feature["flag"], "certified": certified, "baking": baking, "expiry": expiry, "labels": labels}
        for feature in features
    ]


def probes(manifest: Mapping[str, Any], with_feature: bool) -> list[Mapping[str, Any]]:
    """Return the smoke tests that must pass with the features on or off, those of the application included."""
    wanted = "on" if with_feature else "off"
    return list(manifest["smoke"]) + [
        probe for feature in manifest["features"] for probe in feature["smoke"] if probe.get("flag", wanted) == wanted
    ]


def probe_failures(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each probe of an http_probe result that failed."""
    return [f"{each['name']}: seen {each['seen']}, wanted {each['wanted']}" for each in result["results"] if not each["passed"]]


def smoke_events(found: Mapping[str, Mapping[str, Any]], phase: str) -> list[dict[str, Any]]:
    """Return a ledger event smoke.finished for each place, out of the http_probe results by place."""
    return [
        {
            "event": "smoke.finished",
            "data": {
                "phase": phase,
                "where": where,
                "passed": result["passed"],
                "failed": result["failed_probes"],
                "results": result["results"],
            },
        }
        for where, result in sorted(found.items())
    ]


def opening_sentence(rollout: Mapping[str, Any], manifest: Mapping[str, Any], check_mode: bool = False) -> str:
    """Say what the run is about to do."""
    release = f"{manifest['application']} {manifest['version']}"
    if rollout.get("completed") and not rollout.get("open"):
        return f"{release} is with all users already, on every host: nothing to do."
    if check_mode:
        return f"Check mode ends here: {release} could be rolled out as planned, and nothing has been changed."
    if rollout.get("failed"):
        failed = rollout["failed"]
        return f"{rollout['id']} failed at {failed['step']} on {failed['host']}: this run goes back; launch it again to go forward."
    return f"{rollout['id']} is open: going forward. To go back at any moment: ansible-playbook rollback.yml"


def hours_finished(rollout: Mapping[str, Any], now: float) -> float:
    """Return for how many hours a rollout has been finished at `now` (epoch seconds); 0 for one that is not."""
    finished = rollout.get("finished")
    return round((now - epoch(finished)) / 3600, 2) if finished else 0.0
