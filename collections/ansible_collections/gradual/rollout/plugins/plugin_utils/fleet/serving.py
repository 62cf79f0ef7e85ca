# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts get users from which balancer, and whether these are enough. Pure.

`balancers` are {balancer: servers}, each server as the module haproxy_server_info returns it: {name, up, state, status,
check}. Every balancer is judged by itself: users of one are not served by what another one has.
"""

from __future__ import annotations

import typing as t

Servers = t.Sequence[t.Mapping[str, t.Any]]
Balancers = t.Mapping[str, Servers]


def up_before(rollout: t.Mapping[str, t.Any], balancer: str) -> t.Optional[t.List[str]]:
    """The servers that were up on a balancer when the rollout began; None where the ledger does not say it."""
    servers = (rollout.get("servers") or {}).get(balancer)
    return sorted(name for name, state in servers.items() if state == "ready") if isinstance(servers, dict) else None


def switched_hosts(rollout: t.Mapping[str, t.Any]) -> t.List[str]:
    """The hosts on which users have the release, by the ledger: before another one follows, these must be up."""
    return sorted(
        name
        for name, host in (rollout.get("hosts") or {}).items()
        if host.get("now") == "released" and not host.get("drained")
    )


def out_of_traffic(
    rollout: t.Mapping[str, t.Any], balancers: Balancers, application: t.Sequence[str]
) -> t.Dict[str, t.List[str]]:
    """The hosts `application` that get no users from a balancer, a sentence each.

    `wrong`: those that were in traffic there when the rollout began, or that it has brought into traffic. `away`: those
    that were not, to be named.
    """
    switched = switched_hosts(rollout)
    told: t.Dict[str, t.List[str]] = {"wrong": [], "away": []}
    for balancer, servers in sorted(balancers.items()):
        by_name, wanted = (
            {server["name"]: server for server in servers},
            {*switched, *(up_before(rollout, balancer) or [])},
        )
        for name in application:
            server = by_name.get(name) or {"name": name, "up": False, "status": "not in the backend", "check": ""}
            if not server["up"]:
                told["wrong" if name in wanted else "away"].append(f"{balancer} sends no users to {_told(server)}")
    return told


def strangers(balancers: Balancers, application: t.Sequence[str]) -> t.List[str]:
    """The servers that get users and are no host of the inventory, a sentence each: a rollout would leave them as they
    are."""
    return [
        f"{balancer}: it sends users to {server['name']}, which is not in the inventory's group application, so its"
        " users would keep the release that it has; write it into that group, or take it out of the balancer:"
        " ansible-playbook playbooks/provision.yml --limit balancer"
        for balancer, servers in sorted(balancers.items())
        for server in servers
        if server["state"] == "ready" and server["name"] not in application
    ]


def _told(server: t.Mapping[str, t.Any]) -> str:
    return f"{server['name']} ({server['status']}" + (
        f", its check says {server['check']})" if server.get("check") not in ("", "none", None) else ")"
    )
