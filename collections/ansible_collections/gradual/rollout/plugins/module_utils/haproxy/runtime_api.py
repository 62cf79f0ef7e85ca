# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""HAProxy's runtime socket: what the servers of a backend are doing, and the words that change it.

Parsing is apart from talking, since what a socket says is input like any other.
Fields are those of HAProxy's management guide, 9.1 (CSV) and 9.3 (show servers state).
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import re
import socket
from dataclasses import dataclass
from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.common import files

# srv_admin_state: forced and inherited maintenance, by configuration, by tracking or by a name that does not resolve.
MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
DRAIN = 0x08 | 0x10
STATE_HEADER = re.compile(r"\d+\n# be_id ")
NAME = re.compile(r"[A-Za-z0-9_.:-]+\Z")


class HaproxyError(Exception):
    """What is wrong between us and the balancer, what was seen, what to do."""


@dataclass
class Server:
    """state: ready (may get requests), down (its checks fail), drained (only old sessions) or maintenance.

    status is HAProxy's own word; sessions are requests under way or queued for this server, connections what is open
    to it, idle ones included. Both count those of servers in other backends that track this one: the process is the
    same.
    """

    name: str
    state: str
    status: str
    check: str
    sessions: int
    connections: int
    address: str

    @property
    def settled(self) -> bool:
        """Whether it is up without doubt: `UP 1/2` is what HAProxy says before the first check has passed."""
        return self.state == "ready" and self.status in ("UP", "no check")

    @property
    def between(self) -> bool:
        """Whether its next checks decide where it goes: `UP 1/2`, `DOWN 1/2`."""
        return self.state in ("ready", "down") and "/" in self.status


def _number(row: dict[str, Any], field: str) -> int:
    text = row.get(field) or "0"
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,18}", text) else 0


def _table(text: str) -> list[dict[str, Any]]:
    """The rows of `show stat`; HaproxyError when it is no such table."""
    body = text.lstrip("\n")
    if not body.startswith("# pxname,"):
        raise HaproxyError(
            f"the balancer answered `show stat` with {_excerpt(text)}; is this the socket of HAProxy 2.2 or newer, with"
            " level admin?"
        )
    try:
        return list(csv.DictReader(io.StringIO(body[2:])))
    except csv.Error as error:
        raise HaproxyError(f"the balancer's `show stat` cannot be read: {error}") from error


def parse_stat(text: str, backend: str) -> dict[str, dict[str, str]]:
    """The servers of a backend out of `show stat`: name → field → value. HaproxyError when it is no such table."""
    rows = _table(text)
    known = {str(row.get("pxname")) for row in rows if row.get("svname") == "BACKEND"}
    if backend not in known:
        raise HaproxyError(
            f"backend: the balancer has no {backend!r}; write one of"
            f" {', '.join(sorted(known)) or 'none, it has no backends'}"
        )
    return {
        str(row["svname"]): row
        for row in rows
        if row.get("pxname") == backend and row.get("svname") not in ("BACKEND", "FRONTEND", None)
    }


def parse_state(text: str, backend: str) -> dict[str, dict[str, str]]:
    """The servers of a backend out of `show servers state`: name → field → value."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not STATE_HEADER.match(text.lstrip("\n")) or len(lines) < 2:
        raise HaproxyError(
            f"the balancer answered `show servers state` with {_excerpt(text)}; is this the socket of HAProxy 2.2 or"
            " newer, with level admin?"
        )
    fields = lines[1][2:].split()
    rows = [dict(zip(fields, line.split())) for line in lines[2:]]
    return {row["srv_name"]: row for row in rows if row.get("be_name") == backend and "srv_name" in row}


def servers(stat: str, state: str, backend: str) -> list[Server]:
    """The servers of a backend, from what the two commands said."""
    figures, states, everywhere = parse_stat(stat, backend), parse_state(state, backend), _table(stat)
    tracking = {name: [row for row in everywhere if row.get("tracked") == f"{backend}/{name}"] for name in figures}
    return [_server(name, figures[name], states.get(name, {}), tracking[name]) for name in figures]


def _server(name: str, figures: dict[str, str], state: dict[str, str], tracking: list[dict[str, Any]]) -> Server:
    admin, status = _number(state, "srv_admin_state"), figures.get("status") or ""
    if admin & MAINTENANCE or status.startswith("MAINT"):
        condition = "maintenance"
    elif admin & DRAIN or status.startswith("DRAIN"):
        condition = "drained"
    elif status.startswith(("UP", "no check", "OPEN")):
        condition = "ready"
    else:
        condition = "down"
    sessions, connections = (
        sum(_number(row, field) for row in (figures, *tracking) for field in fields)
        for fields in (("scur", "qcur"), ("used_conn_cur", "idle_conn_cur"))
    )
    check = (figures.get("check_status") or "none").strip()
    if check == "L7STS" and figures.get("check_code"):
        check += f"/{figures['check_code']}"  # the status that was not 2xx or 3xx
    return Server(
        name, condition, status, check, sessions, connections, figures.get("addr") or state.get("srv_addr", "")
    )


def _excerpt(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return repr(line[:120]) if line else "nothing"


class Socket:
    """The runtime socket; a connection for each command, as HAProxy wants it."""

    def __init__(self, path: str, timeout: float = 10.0) -> None:
        self.path = path
        self._timeout = timeout

    def ask(self, *commands: str) -> str:
        """What HAProxy says to a command, or to several that it carries out at once."""
        if any("\n" in command or ";" in command for command in commands):
            raise HaproxyError(f"not one command each: {commands!r}")
        received = []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout)
                connection.connect(self.path)
                connection.sendall(";".join(commands).encode() + b"\n")
                while True:
                    block = connection.recv(65536)
                    if not block:
                        break
                    received.append(block)
        except FileNotFoundError:
            raise HaproxyError(
                f"socket: {self.path} is not there; start haproxy, or write the path of `stats socket` in its"
                " configuration"
            ) from None
        except PermissionError:
            raise HaproxyError(f"socket: this user may not open {self.path}; run the task with become") from None
        except OSError as error:
            raise HaproxyError(
                f"socket: nobody answers at {self.path}: {error}; look at: systemctl status haproxy"
            ) from error
        return b"".join(received).decode("utf-8", errors="replace")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts nobody else of us takes a server of this balancer out of traffic: whoever looks first acts
        first.

        The lock is on the socket's directory, so that nothing is left behind; it ends with the process."""
        try:
            descriptor = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HaproxyError(
                f"socket: the directory of {self.path} cannot be opened: {error.strerror}; write the path of `stats"
                " socket`"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def servers(self, backend: str) -> list[Server]:
        """The servers of a backend now."""
        return servers(self.ask("show stat"), self.ask("show servers state"), backend)

    def set_state(self, backend: str, name: str, state: str) -> None:
        """state: ready, drain or maint. Silence is consent."""
        self._set(backend, name, f"state {state}")

    def enable(self, backend: str, name: str) -> None:
        """Out of drain and maintenance, and down until its checks pass. HAProxy takes it for up until the first check
        otherwise."""
        self._set(backend, name, "state ready", "health down")

    def _set(self, backend: str, name: str, *wishes: str) -> None:
        for word in (backend, name):
            if not NAME.match(word):
                raise HaproxyError(f"not the name of a backend or server, got {word!r}")
        said = self.ask(*(f"set server {backend}/{name} {wish}" for wish in wishes)).strip()
        if said:
            wanted = " and ".join(wish.partition(" ")[2] for wish in wishes)
            raise HaproxyError(
                f"the balancer refuses to set {backend}/{name} to {wanted}: {said}; the socket needs level admin"
            )

    def save(self, path: str) -> None:
        """Keep the state of all servers for the next reload, which forgets it otherwise."""
        state = self.ask("show servers state")
        if not STATE_HEADER.match(state.lstrip("\n")):
            raise HaproxyError(
                f"the balancer answered `show servers state` with {_excerpt(state)}; the state file is left as it was"
            )
        try:
            files.replace(path, state.lstrip("\n").rstrip("\n") + "\n")
        except OSError as error:
            raise HaproxyError(
                f"state_file: {path} cannot be written: {error.strerror}; make {os.path.dirname(path)}, or write"
                " another path"
            ) from error
