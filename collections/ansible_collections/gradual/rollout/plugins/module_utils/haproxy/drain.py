# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Take servers out of traffic and let them in again, without a request failing.

drained: drain (no new requests) → wait until none is under way → maintenance (nothing at all).
ready: ready → wait until a check has passed since.
enabled: out of drain and maintenance, down until its checks pass; nothing is waited for.
Before a server is taken out, enough others must be up (Rule), and that is looked at and done under one lock.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, ContextManager, Iterator, Protocol, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import listed
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError, Server

STEP = 0.1
# A server may get a request that was dispatched just before it was drained: no sessions must be seen twice.
QUIET = 2
# A server between two states ("UP 1/2": one check has failed, or one has passed) is given so many seconds to show where
# it goes.
SETTLE = 5.0


class Balancer(Protocol):
    """What is needed of runtime_api.Socket."""

    def alone(self) -> contextlib.AbstractContextManager[None]: ...

    def servers(self, backend: str) -> list[Server]: ...

    def set_state(self, backend: str, name: str, state: str) -> None: ...

    def enable(self, backend: str, name: str) -> None: ...


class Claims(Protocol):
    """What is needed of host_lock.Claim."""

    def step(self) -> ContextManager[None]: ...


class Free:
    """Nobody else works on these servers."""

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Go on."""
        yield


class NotInTime(HaproxyError):
    """The server did not get there; `results` are those of the servers before it and its own."""

    def __init__(self, message: str, results: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.results = results


class NotEnough(HaproxyError):
    """Too few other servers are up, so the server stays in traffic; `results` are those of the servers before it."""

    def __init__(self, message: str, results: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.results = results


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


@dataclass
class Wish:
    """backend, state (drained, maintenance or ready), the seconds that each server may take, what must hold before one
    leaves, and the claim
    on a server by its name."""

    backend: str
    state: str
    timeout: float = 30.0
    check_mode: bool = False
    rule: Rule = field(default_factory=Rule)
    claim: Callable[[str], Claims] = lambda _name: Free()


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
            f" {'is' if len(missing) == 1 else 'are'} not. Seen: {_seen(servers, missing)}. Look at what the"
            " application logs there."
        )
    if by_name[name].state != "ready" and not by_name[name].between:
        return ""
    others = [server for server in servers if server.name != name and server.name not in leaving]
    up = sum(server.settled for server in others)
    least, why = _least(servers, rule)
    if up >= least:
        return ""
    return (
        f"{rule.balancer}: {name} must stay in traffic: {_count(up)} up, at least {least} must be ({why}). Seen:"
        f" {_seen(others) or 'no other server'}. Bring another server into traffic first. Where"
        f" {'the users may feel that none is left' if up == 0 else 'fewer can carry all users'}: -e min_in_traffic={up}"
    )


def _least(servers: Sequence[Server], rule: Rule) -> tuple[int, str]:
    if rule.least is not None:
        return rule.least, "min_in_traffic"
    if rule.up_before is not None:
        return (
            least_of(len(rule.up_before)),
            f"two thirds of the {len(rule.up_before)} that were up when the rollout began, and one at least",
        )
    up = sum(server.settled for server in servers)
    return least_of(up), f"two thirds of the {up} that are up now, and one at least"


def _seen(servers: Sequence[Server], names: Collection[str] | None = None) -> str:
    """ "app1 DOWN (L7STS/503), app3 MAINT"; names that the balancer does not have are told too."""
    told = []
    for server in servers:
        if names is None or server.name in names:
            failing = not server.settled and server.check not in ("", "none")
            told.append(f"{server.name} {server.status}" + (f" ({server.check})" if failing else ""))
    known = {server.name for server in servers}
    return ", ".join(told + [f"{name} is not in the backend" for name in names or () if name not in known])


def _count(up: int) -> str:
    return "no other server is" if up == 0 else "1 other server is" if up == 1 else f"{up} other servers are"


def plan(server: Server, state: str) -> list[str]:
    """What must be done with one server: words out of drain, idle, maint, ready, up, enable; empty when nothing
    must."""
    if state == "drained":
        if server.state == "maintenance":
            return ["idle"] if server.sessions else []
        return ["drain", "idle", "maint"]
    if state == "maintenance":
        return [] if server.state == "maintenance" else ["maint"]
    if state == "enabled":
        return [] if server.state in ("ready", "down") else ["enable"]
    if server.settled:
        return []
    return ["up"] if server.state in ("ready", "down") else ["ready", "up"]


def move(
    balancer: Balancer,
    names: list[str],
    wish: Wish,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """Bring each server to the state wished, one after the other; results as the module returns them."""
    known = {server.name: server for server in balancer.servers(wish.backend)}
    missing = [name for name in names if name not in known]
    if missing:
        raise HaproxyError(
            f"servers: backend {wish.backend} has no {', '.join(missing)}; write some of"
            f" {', '.join(sorted(known)) or 'none, it is empty'}"
        )
    results: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        before, began = known[name], clock()
        # A drain that a killed run has left at work must not take the server out after a newer call let it in.
        claim = Free() if wish.check_mode else wish.claim(name)
        steps = plan(before, wish.state)
        after = before
        if wish.state in ("drained", "maintenance") and (wish.check_mode or not set(steps) & {"drain", "maint"}):
            _insist(balancer, name, wish, results, clock, sleep, leaving=names[:place] if wish.check_mode else ())
        if steps and not wish.check_mode:
            after = _walk(balancer, before, steps, wish, claim, results, clock, sleep)
        foreseen = (
            {"drained": "maintenance", "enabled": "down"}.get(wish.state, wish.state)
            if wish.check_mode and steps
            else after.state
        )
        results.append(
            {
                "server": name,
                "before": before.state,
                "after": foreseen,
                "status": after.status,
                "sessions": after.sessions,
                "seconds": round(clock() - began, 3),
                "changed": bool(set(steps) - {"idle", "up"}),
            }
        )
    return results


def _walk(
    balancer: Balancer,
    before: Server,
    steps: list[str],
    wish: Wish,
    claim: Claims,
    results: list[dict[str, Any]],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Server:
    until = clock() + wish.timeout
    seen, least = before, 0
    for step in steps:
        if step == steps[0] and step in ("drain", "maint"):
            with balancer.alone():
                least = _insist(balancer, before.name, wish, results, clock, sleep)
                with claim.step():
                    balancer.set_state(wish.backend, before.name, step)
        elif step in ("drain", "maint", "ready"):
            with claim.step():
                balancer.set_state(wish.backend, before.name, step)
        if step in ("drain", "maint", "ready"):
            seen = _look(balancer, wish.backend, before.name)
            continue
        if step == "enable":
            balancer.enable(wish.backend, before.name)
            seen = _look(balancer, wish.backend, before.name)
            continue
        quiet = 0
        while True:
            servers = balancer.servers(wish.backend)
            seen = _of(servers, wish.backend, before.name)
            if step == "idle":
                _keep_enough(balancer, claim, before, servers, least, wish, results)
            quiet = quiet + 1 if step == "idle" and seen.sessions == 0 else 0
            if quiet >= QUIET or (step == "up" and seen.settled):
                break
            if clock() > until:
                with claim.step():
                    _give_up(balancer, before, seen, step, wish, results)
            sleep(STEP)
    return seen


def _insist(
    balancer: Balancer,
    name: str,
    wish: Wish,
    results: list[dict[str, Any]],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    leaving: Collection[str] = (),
) -> int:
    """Go on only if the server may be taken out of traffic, and return how many others must stay; what is between two
    states is waited for."""
    until = clock() + SETTLE
    while True:
        servers = balancer.servers(wish.backend)
        why = refusal(servers, name, wish.rule, leaving)
        if not why:
            return _least(servers, wish.rule)[0]
        if clock() > until or not any(server.between for server in servers):
            raise NotEnough(why, results)
        sleep(STEP)


def _keep_enough(
    balancer: Balancer,
    claim: Claims,
    before: Server,
    servers: Sequence[Server],
    least: int,
    wish: Wish,
    results: list[dict[str, Any]],
) -> None:
    """A drain is taken back when others are lost while it lasts: this server can still answer. One failed check of
    another is no loss yet."""
    others = [server for server in servers if server.name != before.name]
    up, seen = sum(server.state == "ready" for server in others), _of(servers, wish.backend, before.name)
    if before.state != "ready" or seen.state != "drained" or up >= least:
        return
    with claim.step():
        balancer.set_state(wish.backend, before.name, "ready")
    raise NotEnough(
        f"{wish.rule.balancer}: {before.name} was let in again while it was drained, because {_count(up)} up now and at"
        f" least {least} must be. Seen: {_seen(others)}. Look at what the application logs there.",
        [
            *results,
            {
                "server": before.name,
                "before": before.state,
                "after": "ready",
                "sessions": seen.sessions,
                "seconds": 0.0,
            },
        ],
    )


def settled(
    balancer: Balancer,
    backend: str,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Server]:
    """The servers of a backend, once none is between two states any more; as they are when the seconds are over."""
    until = clock() + seconds
    while True:
        servers = balancer.servers(backend)
        if clock() >= until or not any(server.between for server in servers):
            return servers
        sleep(STEP)


def _look(balancer: Balancer, backend: str, name: str) -> Server:
    return _of(balancer.servers(backend), backend, name)


def _of(servers: Sequence[Server], backend: str, name: str) -> Server:
    for server in servers:
        if server.name == name:
            return server
    raise HaproxyError(f"server {backend}/{name} has gone from the balancer meanwhile")


def _give_up(
    balancer: Balancer, before: Server, seen: Server, step: str, wish: Wish, results: list[dict[str, Any]]
) -> None:
    """A drain that does not end is taken back; a server that does not come up is told as it is."""
    name, result = (
        before.name,
        {
            "server": before.name,
            "before": before.state,
            "after": seen.state,
            "sessions": seen.sessions,
            "seconds": wish.timeout,
        },
    )
    if step == "idle":
        if before.state in ("ready", "down"):
            balancer.set_state(wish.backend, name, "ready")
            result["after"] = "ready"
        raise NotInTime(
            f"Server {wish.backend}/{name} still has {seen.sessions} requests under way after {wish.timeout:g} s of"
            f" draining{', and was let in again' if result['after'] == 'ready' else ''}. Look for requests that never"
            " end, or write a larger timeout.",
            [*results, result],
        )
    raise NotInTime(
        f"Server {wish.backend}/{name} is not up after {wish.timeout:g} s: {seen.status}, its check says {seen.check}. "
        f"Ask it from the balancer as the check does: curl -i http://{seen.address}/readyz "
        "(or the path that balancer_check_path names).",
        [*results, result],
    )
