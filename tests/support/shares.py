"""Which users have which feature, asked of the front door as a browser would ask: GET /api/features with a visitor
cookie."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
import ssl
import threading

from . import fleet

# The names matter: which share of them a percentage reaches is decided by their hash, the same in every run.
USERS = [f"browser-{number:05d}" for number in range(2000)]
Shares = dict[str, set[str]]


class _FrontDoor(http.client.HTTPSConnection):
    """A kept-alive connection to the balancer of the fleet under test, whatever this machine's resolver says."""

    def connect(self) -> None:
        plain = socket.create_connection((fleet.addresses()["lb1"], 443), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = ssl.create_default_context(cafile=str(fleet.AUTHORITY)).wrap_socket(
            plain, server_hostname=fleet.FRONT_DOOR
        )


def measure(users: list[str] = USERS, threads: int = 4, stop: threading.Event | None = None) -> Shares:
    """Flag → the users who have it."""
    found: Shares = {flag: set() for flag in fleet.FLAGS}

    def ask(part: list[str]) -> list[tuple[str, str]]:
        connection = _FrontDoor(fleet.FRONT_DOOR, timeout=10)
        having = []
        for user in part:
            if stop is not None and stop.is_set():
                break
            connection.request("GET", "/api/features", headers={"Cookie": f"visitor={user}"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, f"/api/features answered {answer.status} to {user}: {body[:100]!r}"
            having += [(flag, user) for flag, value in json.loads(body)["features"].items() if value]
        connection.close()
        return having

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for having in pool.map(ask, (users[number::threads] for number in range(threads))):
            for flag, user in having:
                found.setdefault(flag, set()).add(user)
    return found


def mistakes(
    percent: float, seen: Shares, users: int, before: Shares | None = None, tolerance: float = 2.0
) -> list[str]:
    """What is wrong with the shares seen at a stage: a share off by more than `tolerance` points, a user who lost a
    feature."""
    found = []
    for flag in fleet.FLAGS:
        share = 100 * len(seen.get(flag, set())) / users
        if abs(share - percent) > tolerance:
            found.append(f"{flag}: {share:.1f} % of {users} users instead of {percent:g} %")
        lost = (before or {}).get(flag, set()) - seen.get(flag, set())
        if lost:
            found.append(f"{flag}: {len(lost)} users have lost it, for example {min(lost)}")
    return found
