# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What happened to a flag on one host, for the screen. A pure function over a result of feature_flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def line(flag: str, host: str, result: Mapping[str, Any], killing: bool, check_mode: bool, seconds: float) -> str:
    """What happened on one host, for the screen."""
    changed = result.get("changed")
    if result.get("unknown"):
        done = f"it has no flag {flag}"
    elif result.get("failed"):
        done = "written, but NOT VERIFIED" if result.get("written") else "NOT DONE"
    elif not killing:
        done = f"{flag} {'would be' if check_mode else 'is'} allowed again, and stays off"
        done = done if changed else f"{flag} is not killed"
    elif check_mode:
        done = f"{flag} would be turned off" if changed else f"{flag} is killed already"
    else:
        count = len({process["pid"] for process in result["processes"]})
        seen = f" in {count} process{'' if count == 1 else 'es'}" if result["verified"] else ""
        done = f"{flag} is off{seen}{'' if changed else ', as before'}"
    return f"{host}: {done}, after {seconds:.1f} s"
