# Copyright: The Gradual project
# BSD-2-Clause (see the file LICENSE)
"""Starts a command as systemd does with Type=notify, and prints what it said: python test/notified.py COMMAND…

One line for each datagram: "main" or "other", by the process that the kernel names as its sender, and the text. SIGTERM
follows READY=1. The last line is "exit" and the status.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

SECONDS = 240.0  # for a machine that does much beside
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: ucred of unix(7)


def main(command: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        address = f"{folder}/notify"
        notify.bind(address)
        notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        notify.settimeout(SECONDS)
        process = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": address})
        for _each in range(2):
            text, ancillary, _flags, _from = notify.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
            sender = CREDENTIALS.unpack(ancillary[0][2])[0]
            print("main" if sender == process.pid else "other", text.decode(), flush=True)
            if text == b"READY=1":
                process.send_signal(signal.SIGTERM)
        print("exit", process.wait(SECONDS), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
