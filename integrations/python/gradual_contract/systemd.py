# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Type=notify: tell systemd that the service is up, where the server does not do it itself."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import sys
import threading
import time

log = logging.getLogger("gradual_contract")
PATIENCE = 60.0


def notify(state: str) -> None:
    """Send one message of the sd_notify protocol (sd_notify(3)); nothing where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())


def notify_when_listening() -> None:
    """READY=1 as soon as this process has a listening socket: uvicorn opens it after the application has started.

    gunicorn notifies by itself, from its own first process."""
    if os.environ.get("NOTIFY_SOCKET") and "gunicorn.arbiter" not in sys.modules:
        threading.Thread(target=_wait, name="gradual-notify", daemon=True).start()


def _wait() -> None:
    until = time.monotonic() + PATIENCE
    while not listening():
        if time.monotonic() > until:
            log.error("no socket of this process listens after %g s, so systemd was not told READY=1", PATIENCE)
            return
        time.sleep(0.02)
    try:
        notify("READY=1")
    except OSError as error:
        log.error("systemd was not told READY=1: NOTIFY_SOCKET %s: %s", os.environ.get("NOTIFY_SOCKET"), error)


def listening() -> bool:
    """Whether any open file of this process is a listening socket."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.stat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    return True
    return False
