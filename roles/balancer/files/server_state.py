#!/usr/bin/python3
"""Keeps the state of HAProxy's servers over reloads and restarts: what is drained stays drained.

    gradual-server-state save   ask the running HAProxy, before it reloads or stops
    gradual-server-state mend   take the file as it is, before HAProxy starts: its configuration may have changed

HAProxy reads the file when it starts or reloads. The port of a server there beats the one in the configuration, so that
a changed port would never be taken: each line gets the port that the configuration has now. A changed address, a new
name and a server that is gone need no help. Only the standard library is needed, from Python 3.9 on.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile

SECTIONS = frozenset({"backend", "cache", "defaults", "frontend", "global", "listen", "mailers", "peers", "resolvers"})
SERVER = re.compile(r"\s*server\s+(\S+)\s+\S*:(\d+)(\s|$)")
# The place of srv_port in a line, by the format that the first line of the file names.
PORT = {"1": 18}


def ports(configuration: str) -> dict[tuple[str, str], str]:
    """(backend, server) → the port in the configuration; servers without a port are left out."""
    found, section = {}, ""
    for line in configuration.splitlines():
        words = line.split()
        if words and words[0] in SECTIONS:
            section = words[1] if len(words) > 1 else ""
        if match := SERVER.match(line):
            found[section, match[1]] = match[2]
    return found


def mended(state: str, wanted: dict[tuple[str, str], str]) -> str:
    """The state with the ports that are wanted; as it was where its format is not known."""
    lines = state.strip("\n").splitlines()
    place = PORT.get(lines[0].strip()) if lines else None
    for number, line in enumerate(lines):
        fields = line.split(" ")
        if place and len(fields) > place and (fields[1], fields[3]) in wanted:
            fields[place] = wanted[fields[1], fields[3]]
            lines[number] = " ".join(fields)
    return "\n".join(lines) + "\n"


def ask(path: str) -> str:
    """What HAProxy says of its servers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(b"show servers state\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def write(path: str, text: str) -> None:
    """Replace the file in one step."""
    descriptor, fresh = tempfile.mkstemp(prefix=".server-state-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(fresh, 0o644)
        os.replace(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise


def main() -> None:
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb not in ("save", "mend"):
        sys.exit("usage: gradual-server-state save|mend")
    configuration = os.environ.get("CONFIG", "/etc/haproxy/haproxy.cfg")
    kept = os.environ.get("STATE", "/var/lib/haproxy/server-state")
    try:
        if verb == "save":
            state = ask(os.environ.get("SOCKET", "/run/haproxy/admin.sock"))
        elif os.path.exists(kept):
            with open(kept, encoding="utf-8") as stream:
                state = stream.read()
        else:
            return
        with open(configuration, encoding="utf-8") as stream:
            wanted = ports(stream.read())
        if not state.strip():
            sys.exit(f"gradual-server-state: HAProxy says nothing of its servers; {kept} is left as it was")
        write(kept, mended(state, wanted))
    except (OSError, ValueError) as error:
        sys.exit(f"gradual-server-state: {error}; {kept} is left as it was")


if __name__ == "__main__":
    main()
