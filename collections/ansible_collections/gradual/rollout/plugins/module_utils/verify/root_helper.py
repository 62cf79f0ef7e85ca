# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A helper process that stays root, for one fixed kind of work, while the module's process becomes another user.

A restore test runs as PostgreSQL's user. On the copy it runs the application's own code, which must run neither as that
user, who is a superuser of the live database, nor as root; only root can start it as a third user. What the helper does
is fixed before the restore test begins, which can ask for nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from typing import Any, Callable, Iterator, NoReturn

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import die_with_parent

Work = Callable[[Any], Any]


class _Helper:
    """The socket to the helper, inherited by forked processes; None when there is no helper."""

    channel: socket.socket | None = None


@contextlib.contextmanager
def running(work: Work) -> Iterator[None]:
    """While the block runs, `ask` reaches a helper process that stays root. Only root starts a helper."""
    if os.geteuid() != 0:
        yield
        return
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ours.close()
        _serve(theirs, parent, work)
    theirs.close()
    _Helper.channel = ours
    try:
        yield
    finally:
        _Helper.channel = None
        ours.close()
        # A busy helper would not notice that the socket is closed.
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def ask(told: Any, work: Work) -> Any:
    """Have the helper do the work with `told` (JSON), or do it here without a helper. Returns its JSON result."""
    if _Helper.channel is None:
        return work(told)
    with _Helper.channel.makefile("rwb") as stream:
        stream.write(json.dumps(told).encode() + b"\n")
        stream.flush()
        line = stream.readline()
    if not line:
        raise DatabaseError("the helper process that runs the release on the copy was killed; run this again")
    answer = json.loads(line)
    if "error" in answer:
        raise DatabaseError(answer["error"])
    return answer["result"]


def _serve(channel: socket.socket, parent: int, work: Work) -> NoReturn:
    """Answer requests until the socket is closed. Ends with its parent, and lets running work clean up."""
    try:
        signal.signal(signal.SIGTERM, _end)
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        os.chdir("/")
        with channel.makefile("rwb") as stream:
            for line in iter(stream.readline, b""):
                stream.write(json.dumps(_answer(work, json.loads(line))).encode() + b"\n")
                stream.flush()
        os._exit(0)
    finally:
        os._exit(1)


def _answer(work: Work, told: Any) -> dict[str, Any]:
    try:
        return {"result": work(told)}
    except DatabaseError as error:
        return {"error": str(error)}
    except Exception:
        return {"error": "this is a bug in Gradual, please report it: " + traceback.format_exc()}


def _end(number: int, _frame: Any) -> None:
    sys.exit(128 + number)
