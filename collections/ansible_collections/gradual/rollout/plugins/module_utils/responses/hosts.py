# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Ask all application hosts at once, by SSH, to turn a flag off. On each of them the key can ask for nothing else."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Mapping, Sequence

# Seconds until a connection that is not made, or that is silent, counts as lost.
CONNECT = 3
SILENT = 3


def argv(address: str, settings: Mapping[str, Any]) -> list[str]:
    """The command line to a host. settings: {user, key, known_hosts}. What is asked for comes on standard input."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": CONNECT,
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
        "ServerAliveCountMax": 1,
        "ServerAliveInterval": SILENT,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": settings["known_hosts"],
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", "-T", "-i", settings["key"], *words, "-l", settings["user"], address]


def ask(command: Sequence[str], request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The result of one host; {failed, msg} if it was not reached or did not answer within that time."""
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"failed": True, "msg": f"no answer after {seconds:g} s"}
    except OSError as error:
        return {"failed": True, "msg": f"{command[0]} cannot be started: {error.strerror}"}
    try:
        result = json.loads(done.stdout)
    except ValueError:
        result = None
    if isinstance(result, dict):
        return result
    said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return {"failed": True, "msg": said[0]}


def ask_all(commands: Mapping[str, Sequence[str]], request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """{host: its result}; a host that does not answer delays no other."""
    with ThreadPoolExecutor(max_workers=max(1, len(commands))) as workers:
        asked = {host: workers.submit(ask, command, request, seconds) for host, command in commands.items()}
        return {host: one.result() for host, one in asked.items()}
