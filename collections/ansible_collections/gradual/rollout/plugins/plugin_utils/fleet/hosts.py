# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rollout makes of the hosts it finds. Pure functions.

A *host* is the result of the module host_info, a dictionary with clock_off, free_bytes, free_inodes, unwritable, links,
root, current, previous, releases, running, flags, unit_load. A *manifest* is the normalised release manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import USER_KEY, sentence
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.min_in_traffic import least_of
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch

Host = Mapping[str, Any]
MEBIBYTE = 1024 * 1024


def fleet_problems(
    hosts: Mapping[str, Host],
    balancers: Mapping[str, Sequence[Mapping[str, Any]]],
    application: Sequence[str],
    free_megabytes: int = 500,
    skew_seconds: float = 5,
    artifact_bytes: int = 0,
    free_inodes: int = 10000,
    min_in_traffic: int | str | None = None,
    begins: bool = True,
    front_door: Mapping[str, Mapping[str, Any]] | None = None,
    unit: str = "the application's unit",
) -> list[str]:
    """Say why this fleet cannot carry a rollout; an empty list when it can.

    hosts: every host of the fleet by name; balancers: the servers that each balancer knows; application: the
    names of the application hosts; artifact_bytes: size of the packed artifact, of which a host must hold three
    times as much; min_in_traffic: how many servers must stay in traffic on each balancer, None for the default;
    begins: whether a new rollout begins, since one that goes on may have taken servers out of traffic itself;
    front_door: the result of http_probe for the front door, by the host that asked.
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
                problems.append(
                    f"{name}: {free // MEBIBYTE} MB are free at {path}, {needed} MB are needed; free disk space"
                )
        for path, left in sorted((host.get("free_inodes") or {}).items()):
            if left is not None and left < free_inodes:
                problems.append(
                    f"{name}: {left} inodes are free at {path}, {free_inodes} are needed; remove files that nobody"
                    f" needs there (df -i {path}), or write preflight_free_inodes: {left} if the release has fewer"
                    " files"
                )
        if name in application:
            problems += _host_problems(name, host, unit)
    problems += _front_door_problems(front_door or {})
    for balancer, servers in sorted(balancers.items()):
        known = {server["name"] for server in servers}
        for name in application:
            if name not in known:
                problems.append(
                    f"{balancer}: it does not know the server {name} (it knows {', '.join(sorted(known)) or 'none'}); "
                    "run playbooks/provision.yml, or take the host out of the group application"
                )
    return problems + (_traffic_problems(hosts, balancers, application, min_in_traffic) if begins else [])


def _host_problems(name: str, host: Host, unit: str) -> list[str]:
    """What is wrong with the releases, the flag file's directory or the unit of an application host."""
    problems = []
    for path, why in sorted((host.get("unwritable") or {}).items()):
        problems.append(
            f"{name}: Gradual must write below {path}, and {why}; run playbooks/provision.yml, or look at: findmnt"
            f" --target {path}"
        )
    if host.get("unit_load") not in (None, "loaded"):
        problems.append(
            f"{name}: systemd must be able to start {unit}, and says that it is {host['unit_load']}; run"
            f" playbooks/provision.yml, or look at: systemctl status {unit}"
        )
    root, kept = host.get("root"), {release["digest"] for release in host.get("releases") or []}
    for link, kind in sorted((host.get("links") or {}).items()):
        path = f"{root}/{link}"
        if kind in ("directory", "file"):
            problems.append(
                f"{name}: {path} is a {kind}, and must be a link to a release below {root}/releases; move it away: mv"
                f" {path} {path}.old"
                + (
                    f", then: ln -s releases/NAME {path}, with the NAME of the release that runs there"
                    if link == "current" and kept
                    else ""
                )
            )
        elif kind in ("foreign", "broken") and link == "current":
            leads = (
                "to something that is no release of Gradual (it has no .release.json)"
                if kind == "foreign"
                else "nowhere"
            )
            problems.append(
                f"{name}: {path} leads {leads}, and must lead to a release below {root}/releases, or not be there"
                " before the first one; Gradual could not roll back to it. Lead it to a release: ln -sfn releases/NAME"
                f" {path}, or remove it: rm {path}"
            )
    return problems


def _front_door_problems(front_door: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Hosts that cannot reach the front door; any answer will do, since nothing may be running yet."""
    problems = []
    for name, result in sorted(front_door.items()):
        errors = [each["seen"]["error"] for each in result.get("results") or [] if "error" in each["seen"]]
        if not result.get("results") and result.get("msg"):
            errors = [str(result["msg"])]
        if errors:
            problems.append(
                f"{name}: probes ask for the front door from there and cannot reach it: {errors[0]}; make its name"
                " resolve and its port reachable there, or write front_door.url and front_door.ca_path in the"
                " inventory"
            )
    return problems


def in_traffic(balancers: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> bool:
    """Tell whether any balancer sends users to the host."""
    return any(
        server["name"] == name and server["state"] == "ready" for servers in balancers.values() for server in servers
    )


def _serves(host: Host) -> bool:
    """Whether a host runs a release that users have had; one that was never admitted does not count."""
    return bool(host.get("running")) and (host.get("current") or {}).get("admitted", True)


def _up(
    hosts: Mapping[str, Host], balancers: Mapping[str, Sequence[Mapping[str, Any]]], application: Sequence[str]
) -> dict[str, list[str]]:
    """The application hosts that serve users on each balancer."""
    return {
        balancer: sorted(
            server["name"]
            for server in servers
            if server["name"] in application
            and server["state"] == "ready"
            and hosts.get(server["name"], {}).get("running")
        )
        for balancer, servers in balancers.items()
    }


def _traffic_problems(
    hosts: Mapping[str, Host],
    balancers: Mapping[str, Sequence[Mapping[str, Any]]],
    application: Sequence[str],
    least: int | str | None,
) -> list[str]:
    """Why a host cannot be taken out of traffic on each balancer; nothing where no host serves users yet, as before a
    first release."""
    up = _up(hosts, balancers, application)
    serving = sorted(name for name in application if _serves(hosts.get(name, {})))
    if not serving and not any(up.values()):
        return []
    problems = []
    for balancer, ready in sorted(up.items()):
        needed = least_of(len(ready)) if least in (None, "") else int(str(least))
        if len(ready) - 1 >= needed or needed == 0:
            continue
        states = ", ".join(
            f"{server['name']} {server['state']}" for server in balancers[balancer] if server["name"] in application
        )
        if not ready:
            # Only the balancers' own word counts: what runs and gets no users there may be drained on purpose.
            problems.append(
                f"{balancer}: no application host serves users there ({states or 'it knows none'}), though "
                f"{', '.join(serving) or 'others'} could; bring them into traffic there first"
            )
        elif len(ready) == 1:
            problems.append(
                f"{balancer}: {ready[0]} is the only application host that serves users there ({states}). While it is"
                " switched nobody serves, so users would feel its restart: zero downtime is not possible. Bring"
                " another host into traffic first, or accept the interruption: write min_in_traffic: 0 in the"
                " inventory"
            )
        else:
            problems.append(
                f"{balancer}: {len(ready)} application hosts serve users there ({states}) and min_in_traffic is"
                f" {needed}, so none can be taken out of traffic; bring one more into traffic, or write min_in_traffic:"
                f" {len(ready) - 1} in the inventory"
            )
    return problems


def restart_is_felt(
    hosts: Mapping[str, Host], balancers: Mapping[str, Sequence[Mapping[str, Any]]], application: Sequence[str]
) -> bool:
    """Tell whether users will feel the restart of a host, because no other one serves them on one of the balancers."""
    return any(len(ready) == 1 for ready in _up(hosts, balancers, application).values())


def releases_on_hosts(
    hosts: Mapping[str, Host], balancers: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> dict[str, Any]:
    """Return what users have on each host now: {host: {"version", "digest", "directory"} or None}.

    A release that was never admitted to traffic is none that anybody could roll back to; the host's `previous` is then.
    """
    found = {}
    for name, host in hosts.items():
        release = host.get("current") or None
        if release and not release.get("admitted", True) and not in_traffic(balancers or {}, name):
            release = host.get("previous") or None
        found[name] = {key: release.get(key) for key in ("version", "digest", "directory")} if release else None
    return found


def servers_on_balancers(balancers: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, str]]:
    """Return the state of each server on each balancer, as a rollout finds them: {balancer: {server: state}}."""
    return {
        balancer: {server["name"]: server["state"] for server in servers} for balancer, servers in balancers.items()
    }


def found_out_of_traffic(rollout: Mapping[str, Any], host: str) -> list[str]:
    """Return the balancers on which the host was drained or in maintenance when the rollout began."""
    return [
        name
        for name, servers in (rollout.get("servers") or {}).items()
        if servers.get(host) in ("drained", "maintenance")
    ]


def released_to_all(hosts: Mapping[str, Host], manifest: Mapping[str, Any]) -> bool:
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


def probes(manifest: Mapping[str, Any], with_feature: bool) -> list[Mapping[str, Any]]:
    """Return the smoke tests that must pass with the features on or off, those of the application included."""
    wanted = "on" if with_feature else "off"
    of_features = [probe for feature in manifest["features"] for probe in feature["smoke"]]
    wanted_probes = [*manifest["smoke"], *(probe for probe in of_features if probe.get("flag", wanted) == wanted)]
    return _with_user_key(wanted_probes, manifest)


def _with_user_key(probes_given: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The probes, sent as users as the manifest says. An older manifest in a ledger says nothing."""
    key = (manifest.get("users") or {}).get("key", USER_KEY)
    return [{**probe, "user_key": key} if probe.get("user") and key != USER_KEY else probe for probe in probes_given]


def probes_of(smoke: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the smoke tests that change nothing, so that they can be asked of what runs before a rollout begins."""
    return [probe for probe in smoke if str(probe.get("method") or "GET").upper() in ("GET", "HEAD")]


def smoke_now(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return which smoke tests hold on what runs before a rollout: {"held": [name], "failed": [sentence]}.

    found: the http_probe results by host, of probes_of; a host that was not asked has no results. A test holds when it
    holds on every host.
    """
    results = [(host, each) for host, result in sorted(found.items()) for each in result.get("results") or []]
    wrong = {each["name"] for _host, each in results if not each["passed"]}
    return {
        "held": list(dict.fromkeys(each["name"] for _host, each in results if each["name"] not in wrong)),
        "failed": [f"{host}: {sentence(each)}" for host, each in results if not each["passed"]],
    }


def smoke_of(rollout: Mapping[str, Any], digest: str | None) -> list[Mapping[str, Any]]:
    """Return the application's smoke tests that the release of a digest must pass in this rollout.

    The release that is rolled out must pass all of them; another one, to which hosts go back, those that it passed when
    the rollout began.
    """
    manifest = rollout["manifest"]
    held = (rollout.get("smoke") or {}).get("held")
    if digest == manifest["artifact"]["sha256"] or held is None:
        return _with_user_key(manifest["smoke"], manifest)
    return _with_user_key([probe for probe in manifest["smoke"] if probe["name"] in held], manifest)


def probe_failures(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each probe of an http_probe result that failed."""
    return [
        f"{each['name']}: got {each['seen']}, expected {each['wanted']}"
        for each in result["results"]
        if not each["passed"]
    ]


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
        return (
            f"{rollout['id']} failed at {failed['step']} on {failed['host']}: this run rolls back; launch it again to"
            " roll out."
        )
    return f"{rollout['id']} is open: rolling out. To roll back at any moment: ansible-playbook rollback.yml"


def hours_finished(rollout: Mapping[str, Any], now: float) -> float:
    """Return for how many hours a rollout has been finished at `now` (epoch seconds); 0 for one that is not."""
    finished = rollout.get("finished")
    return round((now - epoch(finished)) / 3600, 2) if finished else 0.0
