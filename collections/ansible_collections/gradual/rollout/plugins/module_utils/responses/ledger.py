# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The ledger's side of responses: it stays root's. The unit, which is not root, may ask what it needs to know, and add
the two events of a response."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.events import checked
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError, locked, read
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import rollout_state

ALLOWED = frozenset({"alert.answered", "flag.killed"})
# Bytes of a request or of an answer.
LONGEST = 1 << 20


def answer(text: str, directory: str) -> dict[str, Any]:
    """What one request comes to: {"ask": {server}} is answered with `known`, {"events": […]} with {"added": names}; an
    error is {"error": sentence}."""
    try:
        request = json.loads(text)
        if "events" in request:
            return {"added": add(request["events"], directory)}
        return known(read(directory).lines, time.time(), request["ask"].get("server", ""))
    except LedgerError as error:
        return {"error": str(error)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {"error": f"not a request, expected ask or events: {type(error).__name__} {error}"}


def add(events: list[dict[str, Any]], directory: str) -> list[str]:
    """Add events to the newest rollout, each of them once; returns their names."""
    other = sorted({str(one.get("event")) for one in events} - ALLOWED)
    if other:
        raise LedgerError(f"events: a response does not record {', '.join(other)}")
    with locked(directory) as ledger:
        request = lease.Request("gradual-responses", time.time())
        decision = lease.recorded(ledger.reading.lines, checked(events), request)
        if decision.events:
            ledger.append(decision.rollout, decision.events)
    return [name for name, _data in decision.events]


def known(lines: list[dict[str, Any]], now: float, server: str = "") -> dict[str, Any]:
    """{rollout: {id, running, returned, flags}} of the newest rollout, or None; returned: it was rolled back on every
    host. And drained: who took the server out of traffic last, as a sentence."""
    state = rollout_state(lines, now=now)
    manifest = (state or {}).get("manifest")
    features = manifest.get("features") if isinstance(manifest, dict) else None
    flags = [one.get("flag") for one in features or [] if isinstance(one, dict)]
    rollout = state and {
        "id": state["id"],
        "running": state["lease"]["held"],
        "returned": state["outcome"] == "returned",
        "flags": flags,
    }
    return {"rollout": rollout, "drained": drained(lines, server) if server else ""}


def drained(lines: list[dict[str, Any]], server: str) -> str:
    """Who took a server out of traffic, as far as the ledger knows."""
    holders: dict[str, str] = {}
    told = f"the ledger knows of nobody who drained {server}: a person did it by hand, or a program that is not Gradual"
    for line in lines:
        data = line["data"]
        if line["event"] == "lease.taken":
            holders[line["rollout"]] = str(data.get("holder"))
        elif data.get("host") == server and line["event"] == "host.drained":
            holder = holders.get(line["rollout"], "somebody")
            told = f"{server} was drained by {holder} at {line['time']} in rollout {line['rollout']}"
        elif data.get("host") == server and line["event"] == "host.admitted":
            told = (
                f"the ledger says that {server} was admitted at {line['time']}: whoever took it out of traffic after"
                " that did not use Gradual"
            )
    return told


def ask(path: str, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The answer to a request at the ledger's socket; LedgerError when there is none, or when it is an error."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                found = json.loads(stream.readline(LONGEST))
    except (OSError, ValueError) as error:
        raise LedgerError(f"the ledger's socket {path} does not answer: {error}") from error
    if "error" in found:
        raise LedgerError(str(found["error"]))
    return dict(found)
