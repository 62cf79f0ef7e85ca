# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release each host goes back to when the ledger that knows it is lost: a pure decision over what is on the
hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Release = dict[str, Any]
# Of a host that goes back to having no release; it has no digest.
NOTHING = {"version": "no release"}
NAME_IT = "name the release by its version: -e rollback_to=VERSION"


class NoWayBack(ValueError):
    """Why it cannot be known what the hosts go back to; says what to type."""


def ways_back(hosts: Mapping[str, Mapping[str, Any]], to: str = "") -> dict[str, Release]:
    """{host: {version, digest, directory}} of each host that could be looked at.

    hosts: results of host_info; that of a host that is out of reach has no `releases`, and it has no way.
    to: a version that is on every host. Without it: where all hosts are switched to one release, each goes to its
    `previous`; where only some were switched, those go to what the others have never left, and it is what they
    themselves name as `previous`. A host on which users never had a release goes to NOTHING.
    """
    seen = {name: host for name, host in hosts.items() if "releases" in host}
    if not seen:
        raise NoWayBack("no application host can be reached, so no host can be rolled back")
    if to:
        return {name: _named(name, host, to) for name, host in seen.items()}
    never = {name: dict(NOTHING) for name, host in seen.items() if _had_nothing(host)}
    seen = {name: host for name, host in seen.items() if name not in never}
    return {**never, **(_switched_back(seen) if seen else {})}


def _had_nothing(host: Mapping[str, Any]) -> bool:
    """Whether users never had a release on this host: what it is switched to was never admitted, and it names no
    `previous`."""
    current = host.get("current")
    return not host.get("previous") and (not current or not current.get("admitted", True))


def _switched_back(seen: Mapping[str, Mapping[str, Any]]) -> dict[str, Release]:
    current = {name: _release(host, "current") for name, host in seen.items()}
    previous = {name: _release(host, "previous") for name, host in seen.items()}
    running = _by_digest(current)
    if len(running) == 1:
        return _agreed(previous)
    if len(running) == 2:
        one, other = running
        left = [
            new
            for new, old in ((one, other), (other, one))
            if all(previous[name]["digest"] == old for name in running[new])
        ]
        if len(left) == 1:
            new = left[0]
            return {name: previous[name] if release["digest"] == new else release for name, release in current.items()}
    raise NoWayBack(f"the hosts do not agree on what ran before: {_told(current, previous)}; {NAME_IT}")


def _agreed(previous: dict[str, Release]) -> dict[str, Release]:
    missing = sorted(name for name, release in previous.items() if not release["digest"])
    if missing:
        raise NoWayBack(
            f"{', '.join(missing)}: no release is known to have run before the one that runs now; {NAME_IT}"
        )
    if len(_by_digest(previous)) > 1:
        raise NoWayBack(f"the hosts do not agree on what ran before: {_listed(previous)}; {NAME_IT}")
    return previous


def _named(name: str, host: Mapping[str, Any], version: str) -> Release:
    found = [release for release in host["releases"] if release["version"] == version]
    if len({release["digest"] for release in found}) > 1:
        raise NoWayBack(
            f"{name}: {len(found)} releases of version {version} are there; remove those that are not meant, and try"
            " again"
        )
    if not found:
        there = ", ".join(sorted({str(release["version"]) for release in host["releases"]})) or "none"
        raise NoWayBack(f"{name}: rollback_to: got {version!r}, expected a version that is on the host: {there}")
    return dict(found[0])


def _release(host: Mapping[str, Any], link: str) -> Release:
    return dict(host.get(link) or {"version": None, "digest": None, "directory": None})


def _by_digest(releases: Mapping[str, Release]) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    for name, release in releases.items():
        found.setdefault(release["digest"], []).append(name)
    return found


def _listed(releases: Mapping[str, Release]) -> str:
    return ", ".join(f"{name} {release['version'] or 'nothing'}" for name, release in sorted(releases.items()))


def _told(current: Mapping[str, Release], previous: Mapping[str, Release]) -> str:
    return ", ".join(
        f"{name} is switched to {current[name]['version'] or 'nothing'}, before that"
        f" {previous[name]['version'] or 'nothing'}"
        for name in sorted(current)
    )
