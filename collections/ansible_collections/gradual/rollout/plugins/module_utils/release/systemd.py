# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A systemd unit: its state, a restart that is noticed at once when it fails, and what its journal says.

`run` is AnsibleModule.run_command or anything like it: argv in, (exit code, output, errors) out; it raises
nothing for a command that fails.
"""

from __future__ import annotations

import contextlib
import re
from typing import Callable
from urllib.parse import unquote, urlsplit

Run = Callable[..., tuple[int, str, str]]
SHOWN = (
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "MainPID",
    "ExecMainStatus",
    "ConditionResult",
    "Job",
    "LoadState",
)


def properties(run: Run, unit: str) -> dict[str, str]:
    """The unit's properties that tell how it is; empty where there is no systemd."""
    try:
        code, output, _errors = run(["systemctl", "show", "--property", ",".join(SHOWN), "--", unit])
    except OSError:
        return {}
    if code != 0:
        return {}
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def active_state(run: Run, unit: str) -> str | None:
    """active, activating, inactive, failed…; None where there is no systemd."""
    return properties(run, unit).get("ActiveState")


def settled(run: Run, unit: str) -> bool:
    """Whether the unit is active, and systemd is not about to stop or start it: a job that a killed run left may still
    wait."""
    shown = properties(run, unit)
    return shown.get("ActiveState") == "active" and not _number(shown, "Job")


def trouble(shown: dict[str, str]) -> str | None:
    """Why a unit that was just restarted is not going to be active by waiting longer; None while it may be."""
    state, ended = (
        shown.get("ActiveState", ""),
        f"{shown.get('Result', '?')}, exit status {shown.get('ExecMainStatus', '?')}",
    )
    if shown.get("LoadState") == "not-found":
        return "there is no such unit on this host"
    if _number(shown, "NRestarts") > 0 or shown.get("SubState") == "auto-restart":
        return f"the unit ended by itself while it started ({ended}), and systemd tries it again and again"
    if state == "failed":
        return f"the unit failed ({ended})"
    if state == "inactive" and not _number(shown, "Job"):
        if shown.get("ConditionResult") == "no":
            return "a condition of the unit does not hold, so systemd does not start it"
        return f"the unit ended ({ended})"
    return None


def _number(shown: dict[str, str], key: str) -> int:
    text = shown.get(key, "")
    return int(text) if text.isdecimal() else 0


def restart(run: Run, unit: str) -> None:
    """Stop the unit, forget earlier failures (and with them the count of restarts), and begin to start it.

    Only the stop is waited for: the start is watched, so that a unit that dies again and again is seen at once."""
    run(["systemctl", "stop", "--", unit])
    run(["systemctl", "reset-failed", "--", unit])
    run(["systemctl", "start", "--no-block", "--", unit])


def stop(run: Run, unit: str) -> None:
    """Stop the unit, take back a start that is pending, and forget that it failed; returns once systemd has done so."""
    run(["systemctl", "stop", "--", unit])
    run(["systemctl", "reset-failed", "--", unit])


def journal(run: Run, unit: str, since: float, lines: int = 15) -> list[str]:
    """The unit's last lines since a time (seconds since 1970); empty where there is no journal."""
    try:
        code, output, _errors = run(
            [
                "journalctl",
                "--unit",
                unit,
                "--since",
                f"@{since:.0f}",
                "--lines",
                str(lines),
                "--output",
                "cat",
                "--no-pager",
                "--quiet",
            ]
        )
    except OSError:
        return []
    return [line for line in output.splitlines() if line.strip()] if code == 0 else []


SECRET_KEY = re.compile(r"PASS|SECRET|KEY|TOKEN|DSN|URL|CREDENTIAL", re.IGNORECASE)
SHORTEST_SECRET = 6


def secrets(run: Run, unit: str) -> set[str]:
    """Values of the unit's environment files that must not be shown, should its journal hold one of them."""
    try:
        code, output, _errors = run(["systemctl", "show", "--property", "EnvironmentFiles", "--value", "--", unit])
    except OSError:
        return set()
    found: set[str] = set()
    for path in re.findall(r"(/\S+) \(", output) if code == 0 else []:
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
            found |= secret_values(stream.read())
    return found


def secret_values(environment: str) -> set[str]:
    """The values of KEY=value lines whose key sounds secret, and the passwords inside URLs among them."""
    found: set[str] = set()
    for line in environment.splitlines():
        key, _equals, value = line.partition("=")
        value = value.strip().strip("\"'")
        if not value or not SECRET_KEY.search(key):
            continue
        with contextlib.suppress(ValueError):
            password = urlsplit(value).password
            if "://" in value:
                # An address without a password is no secret, and worth seeing.
                found |= {value, password, unquote(password)} if password else set()
                continue
        found.add(value)
    return {value for value in found if len(value) >= SHORTEST_SECRET}
