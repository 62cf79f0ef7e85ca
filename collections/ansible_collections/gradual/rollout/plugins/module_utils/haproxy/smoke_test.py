# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Smoke tests of servers through the front door of a balancer, after it has admitted them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError, Session
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import failure_of, probe_all
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.drain import Balancer, Wish, move
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.min_in_traffic import Rule
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError

# roles/balancer configures HAProxy to send a request with this header to the server that it names.
SERVER_HEADER = "X-Gradual-Server"
ATTEMPTS = 3


@dataclass(frozen=True)
class FrontDoor:
    """Where users ask: url, the address of this balancer (None: what the URL's host resolves to), and the PEM file of
    the authorities to trust (None: the host's)."""

    url: str
    address: str | None = None
    ca_path: str | None = None


class SmokeTestFailed(HaproxyError):
    """A server failed a smoke test; `results` are those of all servers."""

    def __init__(self, message: str, results: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.results = results


def smoke_test(
    balancer: Balancer,
    wish: Wish,
    results: list[dict[str, Any]],
    front_door: FrontDoor,
    probes: Sequence[dict[str, Any]],
) -> None:
    """Send the probes to each server of `results`, as drain.move returned them for the state ready.

    SmokeTestFailed for the first server that fails. If the wish has admitted it, it is in maintenance again.
    """
    for result in results:
        failure = _failure(front_door, result["server"], probes)
        if failure is None:
            continue
        message = f"{wish.rule.balancer}: {result['server']} fails its smoke tests: {failure}."
        if result["changed"]:
            move(balancer, [result["server"]], replace(wish, state="maintenance", rule=Rule(least=0)))
            result.update(after="maintenance", changed=False)
            message += " It was admitted and is in maintenance again."
        raise SmokeTestFailed(message, results)


def _failure(front_door: FrontDoor, server: str, probes: Sequence[dict[str, Any]]) -> str | None:
    try:
        with Session(front_door.url, ca_path=front_door.ca_path, address=front_door.address) as session:
            results = probe_all(session, list(probes), {SERVER_HEADER: server}, attempts=ATTEMPTS)
    except HttpError as error:
        return str(error)
    return failure_of(results, front_door.url)
