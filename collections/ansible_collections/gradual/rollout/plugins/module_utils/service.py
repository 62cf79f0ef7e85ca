# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A systemd unit: its state, a restart that is noticed at once when it fails, and what its journal says.

`run` is AnsibleModule.run_command or anything like it: argv in, (exit code, output, errors) out; it raises
nothing for a command that fails.
"""

from __future__ import annotations

from typing import Any, Callable

Run = Callable[..., tuple[int, str, str]]
SHOWN = ("ActiveState", "SubState", "Result", "NRestarts", "MainPID", "ExecMainStatus", "ConditionResult")


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


def trouble(before: dict[str, str], now: dict[str, str]) -> str | None:
    """Why the unit is not going to be active by waiting longer; None while it may be."""
    state = now.get("ActiveState", "")
    if now.get("ConditionResult") == "no" and state == "inactive":
        return "a condition of the unit does not hold, so systemd did not start it"
    if state in ("failed", "inactive", "deactivating"):
        return f"the unit is {state} ({now.get('Result', '?')}, exit status {now.get('ExecMainStatus', '?')})"
    if _number(now, "NRestarts") > _number(before, "NRestarts"):
        return f"the unit ended by itself and systemd started it again ({now.get('Result', '?')}, exit status {now.get('ExecMainStatus', '?')})"
    return None


def _number(shown: dict[str, Any], key: str) -> int:
    try:
        return int(shown.get(key, 0))
    except ValueError:
        return 0


def restart(run: Run, unit: str) -> None:
    """Stop the unit, forget earlier failures, and begin to start it, without waiting until it is up.

    A unit of Type=notify that dies while starting is restarted by systemd over and over, and a plain
    `systemctl restart` would wait for that: so only the stop is waited for."""
    run(["systemctl", "stop", "--", unit])
    run(["systemctl", "reset-failed", "--", unit])
    run(["systemctl", "start", "--no-block", "--", unit])


def journal(run: Run, unit: str, since: float, lines: int = 15) -> list[str]:
    """The unit's last lines since a time (seconds since 1970); empty where there is no journal."""
    try:
        code, output, _errors = run(
            ["journalctl", "--unit", unit, "--since", f"@{since:.0f}", "--lines", str(lines), "--output", "cat", "--no-pager", "--quiet"]
        )
    except OSError:
        return []
    return [line for line in output.splitlines() if line.strip()] if code == 0 else []
