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
from typing import Any, Callable, Collection, ContextManager, Generator, Iterator, Mapping, Protocol, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.common.host_lock import Overtaken
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.min_in_traffic import (
    Rule,
    named,
    others_up,
    refusal,
    required,
)
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
    """The server did not get there; `results` are those of the servers that did, and its own."""

    def __init__(self, message: str, results: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.results = results


class NotEnough(HaproxyError):
    """Too few other servers are up, so the server stays in traffic; `results` are those of the servers that were
    moved."""

    def __init__(self, message: str, results: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.results = results


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
    """Bring all servers to the state wished, at the same time; results as the module returns them.

    All servers are drained or none: if one cannot be, those that this call has begun to drain are let in again.
    """
    known = {server.name: server for server in balancer.servers(wish.backend)}
    missing = [name for name in names if name not in known]
    if missing:
        raise HaproxyError(
            f"servers: backend {wish.backend} has no {', '.join(missing)}; write some of"
            f" {', '.join(sorted(known)) or 'none, it is empty'}"
        )
    if wish.check_mode:
        return [_foreseen(balancer, known[name], wish, names[:place], sleep) for place, name in enumerate(names)]
    results: list[dict[str, Any]] = []
    # A drain that a killed run has left at work must not take a server out after a newer call let it in.
    claims = {name: wish.claim(name) for name in names}
    walks = {name: _walk(balancer, known[name], wish, claims[name], results, clock, sleep) for name in names}
    begun = []
    try:
        for name in names:
            begun.append(name)
            _advance(walks, name, None, results)
        while walks:
            servers = balancer.servers(wish.backend)
            for name in list(walks):
                _advance(walks, name, servers, results)
            if walks:
                sleep(STEP)
    except (HaproxyError, Overtaken):
        if wish.state == "drained":
            _let_in_again(
                balancer,
                wish,
                {name: claims[name] for name in begun if known[name].state in ("ready", "down")},
                results,
            )
        raise
    return sorted(results, key=lambda result: names.index(result["server"]))


# Is sent what the balancer says of all servers, each time that it waits; returns the server's result.
Walk = Generator[None, "Sequence[Server] | None", dict[str, Any]]


def _advance(
    walks: dict[str, Walk], name: str, servers: Sequence[Server] | None, results: list[dict[str, Any]]
) -> None:
    """Go on with one server, and keep its result if it is where it should be."""
    try:
        walks[name].send(servers)
    except StopIteration as done:
        results.append(done.value)
        del walks[name]


def _walk(
    balancer: Balancer,
    before: Server,
    wish: Wish,
    claim: Claims,
    results: list[dict[str, Any]],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Walk:
    """Take the steps of one server."""
    began, steps = clock(), plan(before, wish.state)
    seen, least = before, 0
    if wish.state in ("drained", "maintenance") and not set(steps) & {"drain", "maint"}:
        _insist(balancer, before.name, wish, results, sleep)
    for step in steps:
        if step == steps[0] and step in ("drain", "maint"):
            with balancer.alone():
                least = _insist(balancer, before.name, wish, results, sleep)
                _set(balancer, before.name, wish, claim, step)
        elif step in ("drain", "maint", "ready"):
            _set(balancer, before.name, wish, claim, step)
        elif step == "enable":
            balancer.enable(wish.backend, before.name)
        else:
            seen = yield from _wait(balancer, before, wish, claim, results, step, least, began, clock)
            continue
        seen = _look(balancer, wish.backend, before.name)
    return _result(before, seen, seen.state, steps, round(clock() - began, 3))


def _set(balancer: Balancer, name: str, wish: Wish, claim: Claims, state: str) -> None:
    with claim.step():
        balancer.set_state(wish.backend, name, state)


def _wait(
    balancer: Balancer,
    before: Server,
    wish: Wish,
    claim: Claims,
    results: list[dict[str, Any]],
    step: str,
    least: int,
    began: float,
    clock: Callable[[], float],
) -> Generator[None, Sequence[Server] | None, Server]:
    """Wait until the server is idle or up."""
    quiet = 0
    while True:
        servers = (yield) or ()
        seen = _of(servers, wish.backend, before.name)
        if step == "idle":
            _keep_enough(balancer, claim, before, servers, least, wish, results)
        quiet = quiet + 1 if step == "idle" and seen.sessions == 0 else 0
        if quiet >= QUIET or (step == "up" and seen.settled):
            return seen
        if clock() > began + wish.timeout:
            with claim.step():
                _give_up(balancer, before, seen, step, wish, results)


def _let_in_again(balancer: Balancer, wish: Wish, claims: Mapping[str, Claims], results: list[dict[str, Any]]) -> None:
    """End the drains that this call has begun, but not those of a server that a newer call works on."""
    for name, claim in claims.items():
        if _look(balancer, wish.backend, name).state in ("drained", "maintenance"):
            with contextlib.suppress(Overtaken):
                _set(balancer, name, wish, claim, "ready")
    for result in results:
        if result["server"] in claims:
            result.update(after="ready", changed=False)


def _foreseen(
    balancer: Balancer, before: Server, wish: Wish, leaving: Collection[str], sleep: Callable[[float], None]
) -> dict[str, Any]:
    """The result of check mode, when the servers `leaving` have left."""
    steps = plan(before, wish.state)
    if wish.state in ("drained", "maintenance"):
        _insist(balancer, before.name, wish, [], sleep, leaving)
    after = {"drained": "maintenance", "enabled": "down"}.get(wish.state, wish.state) if steps else before.state
    return _result(before, before, after, steps, 0.0)


def _result(before: Server, seen: Server, after: str, steps: Sequence[str], seconds: float) -> dict[str, Any]:
    return {
        "server": before.name,
        "before": before.state,
        "after": after,
        "status": seen.status,
        "sessions": seen.sessions,
        "seconds": seconds,
        "changed": bool(set(steps) - {"idle", "up"}),
    }


def _insist(
    balancer: Balancer,
    name: str,
    wish: Wish,
    results: list[dict[str, Any]],
    sleep: Callable[[float], None],
    leaving: Collection[str] = (),
) -> int:
    """Go on only if the server may be taken out of traffic, and return how many others must stay; what is between two
    states is waited for."""
    waited = 0.0
    while True:
        servers = balancer.servers(wish.backend)
        why = refusal(servers, name, wish.rule, leaving)
        if not why:
            return required(servers, wish.rule)[0]
        if waited > SETTLE or not any(server.between for server in servers):
            raise NotEnough(why, results)
        sleep(STEP)
        waited += STEP


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
        f"{wish.rule.balancer}: {before.name} was admitted again while it was drained, because {others_up(up)} up now"
        f" and at least {least} must be. Seen: {named(others)}. Look at what the application logs there.",
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
            f" draining{', and was admitted again' if result['after'] == 'ready' else ''}. Look for requests that never"
            " end, or write a larger timeout.",
            [*results, result],
        )
    raise NotInTime(
        f"Server {wish.backend}/{name} is not up after {wish.timeout:g} s: {seen.status}, its check says {seen.check}. "
        f"Ask it from the balancer as the check does: curl -i http://{seen.address}/readyz "
        "(or the path that balancer_check_path names).",
        [*results, result],
    )
