# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether hosts run a release, as they report it: the link, the service and what the process answers. Pure functions.

A *host* is the result of the module host_info, or what came instead of it: a failed result, or None.
A *release* is a dictionary with version and digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Host = Mapping[str, Any]


def host_differences(host: Host | None, release: Mapping[str, Any]) -> list[str]:
    """Say where a host differs from one that runs the release and will go on running it; an empty list when it does
    not."""
    if not host or "current" not in host:
        return [f"it could not be looked at: {(host or {}).get('msg') or 'it was not reached'}"]
    wanted = _named(release)
    found = []
    current, running = host["current"] or {}, host.get("running") or {}
    if current.get("digest") != release["digest"]:
        found.append(f"its link current leads to {_named(current)}, not to {wanted}")
    if host.get("unit") != "active":
        found.append(f"its service is {host.get('unit') or 'not known to systemd'}, not active")
    if host.get("job"):
        found.append(f"systemd has a job for its service that is not done yet ({host['job']})")
    if not running:
        found.append(f"nothing that could be {wanted} answers at /version")
    elif running.get("digest") != release["digest"]:
        found.append(
            f"what answers at /version is {_named({**running, 'version': running.get('release')})}, not {wanted}"
        )
    return found


def still_runs(host: Host | None, release: Mapping[str, Any]) -> list[str]:
    """Say what a host still has of a release that it must not run any more; an empty list when it has nothing of it."""
    if not host or "current" not in host:
        return [f"it could not be looked at: {(host or {}).get('msg') or 'it was not reached'}"]
    found = []
    if (host["current"] or {}).get("digest") == release["digest"]:
        found.append(f"its link current still leads to {_named(release)}")
    if (host.get("running") or {}).get("digest") == release["digest"]:
        found.append(f"what answers at /version is still {_named(release)}")
    return found


def fleet_differences(hosts: Mapping[str, Host | None], release: Mapping[str, Any]) -> list[str]:
    """host_differences of every host that differs, a sentence a host."""
    return [
        f"{name}: {'; '.join(found)}"
        for name, host in hosts.items()
        for found in [host_differences(host, release)]
        if found
    ]


def _named(release: Mapping[str, Any]) -> str:
    """A release as an operator knows it: two artifacts may have the same version."""
    if not release.get("digest"):
        return "no release"
    return f"{release.get('version') or '?'} ({str(release['digest'])[:12]})"
