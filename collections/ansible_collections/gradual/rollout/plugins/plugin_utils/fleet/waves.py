# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many hosts are switched at once, and what a wave tells the ledger. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.min_in_traffic import least_of


def wave_sizes(
    servers: t.Mapping[str, t.Mapping[str, str]],
    application: t.Sequence[str],
    wanted: t.Sequence[t.Union[int, str]] = ("100%",),
    least: t.Union[int, str, None] = None,
) -> t.List[int]:
    """How many hosts each wave has, as `serial` of a play takes it: the last number stands for all later waves too.

    servers   the state of each server on each balancer: {balancer: {server: state}}
    application
              the application hosts
    wanted    numbers of hosts, or percentages of all hosts ("10%", rounded down)
    least     how many of the servers that are up must stay in traffic on each balancer: min_in_traffic. None and 0
              stand for two thirds of them, because 0 accepts that the only host restarts, not that all do at once

    No wave is larger than the balancer with the fewest servers up can spare, and none is empty. Hosts that get no users
    from any balancer can all be switched at once.
    """
    up = [sum(states.get(host) == "ready" for host in application) for states in servers.values()] or [len(application)]
    most = max(1, min(up) - (int(least or 0) or least_of(min(up)))) if any(up) else len(application)
    return [max(1, min(_count(size, len(application)), most)) for size in wanted] or [1]


def waves_of(hosts: t.Sequence[str], sizes: t.Sequence[int]) -> t.List[t.List[str]]:
    """The hosts of each wave, as Ansible's `serial` deals them."""
    waves: t.List[t.List[str]] = []
    rest = list(hosts)
    while rest:
        size = max(1, sizes[min(len(waves), len(sizes) - 1)]) if sizes else len(rest)
        waves.append(rest[:size])
        rest = rest[size:]
    return waves


def switched_to(results: t.Mapping[str, t.Mapping[str, t.Any]], digest: str) -> t.List[str]:
    """The hosts that run a release, in order.

    results   the result of the module `release` on each host; of a host that it has not reached, anything
    digest    of the release
    """
    return [host for host, result in results.items() if not result.get("failed") and _runs(result) == digest]


def _runs(result: t.Mapping[str, t.Any]) -> t.Optional[str]:
    return (result.get("after") or {}).get("digest")


def host_events(
    hosts: t.Sequence[str], event: str, results: t.Optional[t.Mapping[str, t.Mapping[str, t.Any]]] = None
) -> t.List[t.Dict[str, t.Any]]:
    """One event for each host, as the module `ledger` takes it; with `results` of the module `release`, from which
    release to which it was switched, and in how many seconds."""
    return [{"event": event, "data": {"host": host, **(_switch(results[host]) if results else {})}} for host in hosts]


def _switch(result: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {"from": result["before"], "to": result["after"], "seconds": result["seconds"]}


def _count(size: t.Union[int, str], hosts: int) -> int:
    text = str(size)
    return hosts * int(text[:-1]) // 100 if text.endswith("%") else int(text)
