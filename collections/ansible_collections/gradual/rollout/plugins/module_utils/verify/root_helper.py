# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A process that keeps its rights, for one kind of work, while another one has become an ordinary user for good.

A drill runs as the user of PostgreSQL. What it tries on the copy is the application's own code, which must run as
neither that user (who is a
superuser of the live database) nor root; only root can start it as somebody else. What the assistant does is fixed
before the drill begins: the
drill can ask for it, and cannot ask for anything else.
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


class _Near:
    """The way to the assistant, inherited by forked processes; None where there is none."""

    channel: socket.socket | None = None


@contextlib.contextmanager
def at_hand(work: Work) -> Iterator[None]:
    """While the block runs, `ask` reaches a process with today's rights. Without root there is nothing to keep, and no
    process."""
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
    _Near.channel = ours
    try:
        yield
    finally:
        _Near.channel = None
        ours.close()
        # In the middle of its work it would not see that nobody is there any more.
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def ask(told: Any, work: Work) -> Any:
    """Have the work done with what is told (JSON) by the assistant, or here when there is none; its (JSON) result."""
    if _Near.channel is None:
        return work(told)
    with _Near.channel.makefile("rwb") as stream:
        stream.write(json.dumps(told).encode() + b"\n")
        stream.flush()
        line = stream.readline()
    if not line:
        raise DatabaseError("the process that tries the release on the copy was ended from outside")
    answer = json.loads(line)
    if "error" in answer:
        raise DatabaseError(answer["error"])
    return answer["result"]


def _serve(channel: socket.socket, parent: int, work: Work) -> NoReturn:
    """Answer until nobody asks any more; ends with its parent, and through `finally` of what it is doing."""
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
        return {"error": "this is a mistake in Gradual, please report it: " + traceback.format_exc()}


def _end(number: int, _frame: Any) -> None:
    sys.exit(128 + number)
