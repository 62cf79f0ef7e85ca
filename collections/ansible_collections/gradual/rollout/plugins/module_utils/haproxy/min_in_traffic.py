# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Whether a server may be taken out of traffic: how many others must be up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import listed
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import Server


@dataclass
class Rule:
    """Which other servers must be up before one is taken out of traffic.

    least: how many, 0 permits the last one. None: least_of the servers in `up_before`, or of those that are up now
    where that is None too.
    must_be_up: servers without which none is taken out, however many others are up. balancer: its name, for messages.
    """

    least: int | None = None
    up_before: Sequence[str] | None = None
    must_be_up: Sequence[str] = ()
    balancer: str = "the balancer"


def least_of(up: int) -> int:
    """How many servers must stay in traffic of `up` that were in traffic: two thirds, rounded down, and one at
    least."""
    return max(1, 2 * up // 3)


def refusal(servers: Sequence[Server], name: str, rule: Rule, leaving: Collection[str] = ()) -> str:
    """Why the server `name` must not be taken out of traffic now, or "". `leaving`: servers that are to be taken out
    before it.

    A server that gets no requests anyway (its checks fail, it is drained or in maintenance) may always go: users lose
    nothing by it.
    """
    by_name = {server.name: server for server in servers}
    missing = [
        other for other in rule.must_be_up if other != name and not (other in by_name and by_name[other].settled)
    ]
    if missing:
        return (
            f"{rule.balancer}: {name} stays where it is, because {listed(missing)} must be up before and"
            f" {'is' if len(missing) == 1 else 'are'} not. Seen: {named(servers, missing)}. Look at what the"
            " application logs there."
        )
    if by_name[name].state != "ready" and not by_name[name].between:
        return ""
    others = [server for server in servers if server.name != name and server.name not in leaving]
    up = sum(server.settled for server in others)
    needed, why = required(servers, rule)
    if up >= needed:
        return ""
    return (
        f"{rule.balancer}: {name} must stay in traffic: {others_up(up)} up, at least {needed} must be ({why}). Seen:"
        f" {named(others) or 'no other server'}. Bring another server into traffic first. Where"
        f" {'the users may feel that none is left' if up == 0 else 'fewer can carry all users'}: -e min_in_traffic={up}"
    )


def required(servers: Sequence[Server], rule: Rule) -> tuple[int, str]:
    """How many other servers must be up, and why so many."""
    if rule.least is not None:
        return rule.least, "min_in_traffic"
    if rule.up_before is not None:
        return (
            least_of(len(rule.up_before)),
            f"two thirds of the {len(rule.up_before)} that were up when the rollout began, and one at least",
        )
    up = sum(server.settled for server in servers)
    return least_of(up), f"two thirds of the {up} that are up now, and one at least"


def named(servers: Sequence[Server], names: Collection[str] | None = None) -> str:
    """ "app1 DOWN (L7STS/503), app3 MAINT"; names that the balancer does not have are told too."""
    told = []
    for server in servers:
        if names is None or server.name in names:
            failing = not server.settled and server.check not in ("", "none")
            told.append(f"{server.name} {server.status}" + (f" ({server.check})" if failing else ""))
    known = {server.name for server in servers}
    return ", ".join(told + [f"{name} is not in the backend" for name in names or () if name not in known])


def others_up(up: int) -> str:
    """ "2 other servers are"."""
    return "no other server is" if up == 0 else "1 other server is" if up == 1 else f"{up} other servers are"
