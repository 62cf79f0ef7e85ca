# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Take servers out of traffic and let them in again, without a request failing.

drained: drain (no new requests) → wait until none is under way → maintenance (nothing at all).
ready: ready → wait until a check has passed since.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ansible_collections.gradual.rollout.plugins.module_utils.haproxy import HaproxyError, Server

STEP = 0.1
# A server may get a request that was dispatched just before it was drained: no sessions must be seen twice.
QUIET = 2


class Balancer(Protocol):
    """What is needed of haproxy.Socket."""

    def servers(self, backend: str) -> list[Server]: ...

    def set_state(self, backend: str, name: str, state: str) -> None: ...


class NotInTime(HaproxyError):
    """The server did not get there; `results` are those of the servers before it and its own."""

    def __init__(self, message: str, results: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.results = results


@dataclass
class Wish:
    """backend, state (drained, maintenance or ready), and the seconds that each server may take."""

    backend: str
    state: str
    timeout: float = 30.0
    check_mode: bool = False


def plan(server: Server, state: str) -> list[str]:
    """What must be done with one server: words out of drain, idle, maint, ready, up; empty when nothing must."""
    if state == "drained":
        if server.state == "maintenance":
            return ["idle"] if server.sessions else []
        return ["drain", "idle", "maint"]
    if state == "maintenance":
        return [] if server.state == "maintenance" else ["maint"]
    if server.settled:
        return []
    return ["up"] if server.state in ("ready", "down") else ["ready", "up"]


def move(
    balancer: Balancer, names: list[str], wish: Wish, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> list[dict[str, Any]]:
    """Bring each server to the state wished, one after the other; results as the module returns them."""
    known = {server.name: server for server in balancer.servers(wish.backend)}
    missing = [name for name in names if name not in known]
    if missing:
        raise HaproxyError(f"servers: backend {wish.backend} has no {', '.join(missing)}; write some of {', '.join(sorted(known)) or 'none, it is empty'}")
    results: list[dict[str, Any]] = []
    for name in names:
        before, began = known[name], clock()
        steps = plan(before, wish.state)
        after = before
        if steps and not wish.check_mode:
            after = _walk(balancer, before, steps, wish, results, clock, sleep)
        foreseen = {"drained": "maintenance"}.get(wish.state, wish.state) if wish.check_mode and steps else after.state
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
    balancer: Balancer, before: Server, steps: list[str], wish: Wish, results: list[dict[str, Any]], clock: Callable[[], float], sleep: Callable[[float], None]
) -> Server:
    until = clock() + wish.timeout
    seen = before
    for step in steps:
        if step in ("drain", "maint", "ready"):
            balancer.set_state(wish.backend, before.name, step)
            seen = _look(balancer, wish.backend, before.name)
            continue
        quiet = 0
        while True:
            seen = _look(balancer, wish.backend, before.name)
            quiet = quiet + 1 if step == "idle" and seen.sessions == 0 else 0
            if quiet >= QUIET or (step == "up" and seen.settled):
                break
            if clock() > until:
                _give_up(balancer, before, seen, step, wish, results)
            sleep(STEP)
    return seen


def _look(balancer: Balancer, backend: str, name: str) -> Server:
    for server in balancer.servers(backend):
        if server.name == name:
            return server
    raise HaproxyError(f"server {backend}/{name} has gone from the balancer meanwhile")


def _give_up(balancer: Balancer, before: Server, seen: Server, step: str, wish: Wish, results: list[dict[str, Any]]) -> None:
    """A drain that does not end is taken back; a server that does not come up is told as it is."""
    name, result = before.name, {"server": before.name, "before": before.state, "after": seen.state, "sessions": seen.sessions, "seconds": wish.timeout}
    if step == "idle":
        if before.state in ("ready", "down"):
            balancer.set_state(wish.backend, name, "ready")
            result["after"] = "ready"
        raise NotInTime(
            f"Server {wish.backend}/{name} still has {seen.sessions} requests under way after {wish.timeout:g} s of draining"
            f"{', and was let in again' if result['after'] == 'ready' else ''}. "
            "Look for requests that never end, or write a larger timeout.",
            [*results, result],
        )
    raise NotInTime(
        f"Server {wish.backend}/{name} is not up after {wish.timeout:g} s: {seen.status}, its check says {seen.check}. "
        f"Ask it from the balancer as the check does: curl -i http://{seen.address}/",
        [*results, result],
    )
