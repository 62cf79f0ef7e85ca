# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the schema may be contracted: every reason against it at once, each with what to type next. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.hosts import hours_finished

# storefront/1.0.0 or "storefront 1.0.0": a session that says which release it is of.
_SAYS = re.compile(r"[/@ -]v?(\d+(?:\.\d+)+[\w.+-]*)\Z")
SHOWN = 5


def contract_objections(
    rollout: Mapping[str, Any],
    hosts: Mapping[str, Mapping[str, Any] | None],
    sessions: Sequence[Mapping[str, Any]] | None,
    owed: Sequence[Mapping[str, Any]],
    backfills: Sequence[Mapping[str, Any]] | None,
    now: float,
    soak_hours: float = 72,
    confirm: str = "",
    known_addresses: Sequence[str] = (),
) -> list[str]:
    """Say why the old release may still be needed; an empty list when nothing can need it any more.

    rollout: the ledger's newest rollout. hosts: every application host of the inventory with what host_info found on
    it, None for one that was left
    out. sessions: of database_sessions_info, backfills: of backfill with prove; None for what could not be read. owed:
    the backfills that ledger_info
    tells, of earlier rollouts too. now: epoch seconds of the ledger's clock. confirm: the version that a person has
    typed. known_addresses: from which sessions may come beside the hosts, such as a pooler's. What is not known counts
    as old.
    """
    manifest = rollout.get("manifest") or {}
    version = str(manifest.get("version", ""))
    found = []
    if not rollout.get("completed"):
        found.append(
            f"the newest rollout, {rollout.get('id') or 'none'}, is not completed (it is"
            f" {rollout.get('outcome') or 'open'}); finish it with ansible-playbook deploy.yml, or roll it back"
            " with ansible-playbook rollback.yml"
        )
    digest = (manifest.get("artifact") or {}).get("sha256")
    found += [
        _old_host(name, host, version) for name, host in sorted(hosts.items()) if not digest or _digest(host) != digest
    ]
    if not hosts:
        found.append(
            "the inventory has no application host, so nobody knows what runs; give the inventory of the fleet with -i"
        )
    found += _old_sessions(rollout, sessions, version, known_addresses)
    found += _unfinished(owed, backfills)
    soaked = hours_finished(rollout, now)
    if soaked < soak_hours:
        found.append(
            f"all users have had {version or 'the release'} for {max(soaked, 0.0):.1f} h, and {soak_hours:g} h are"
            f" wanted; come back in {soak_hours - max(soaked, 0.0):.1f} h, or set contract_soak_hours in the inventory"
            " to what you can answer for"
        )
    if not version or confirm != version:
        seen = f"contract_confirm is {confirm!r}" if confirm else "nobody has said so"
        found.append(
            f"past this point rollback.yml cannot put the old code back, and {seen}; to go on: -e"
            f" contract_confirm={version or 'VERSION'}"
        )
    return found


def _digest(host: Mapping[str, Any] | None) -> str | None:
    found: str | None = ((host or {}).get("running") or {}).get("digest")
    return found


def _old_host(name: str, host: Mapping[str, Any] | None, version: str) -> str:
    if host is None:
        return f"{name} was left out of this run, so it counts as old; run without --limit"
    if host.get("lost_host") or host.get("unreachable") or host.get("failed"):
        return (
            f"{name} could not be looked at, so it counts as old ({_line(host.get('msg'))}); bring it back, or take it"
            " out of the inventory if it is gone for good"
        )
    running = host.get("running")
    if not running:
        return (
            f"{name} does not say what it runs, so it counts as old; look at it with systemctl status on that host, and"
            f" bring it to {version}"
        )
    return (
        f"{name} runs {running.get('release') or 'something else'}, not {version} as it was rolled out; deploy that to"
        " it: ansible-playbook deploy.yml"
    )


def _old_sessions(
    rollout: Mapping[str, Any],
    sessions: Sequence[Mapping[str, Any]] | None,
    version: str,
    known_addresses: Sequence[str],
) -> list[str]:
    if sessions is None:
        return ["the sessions of the database could not be read, so old ones may be among them; see the error above"]
    reasons = [(one, _why_old(rollout, one, version, known_addresses)) for one in sessions]
    old = [
        f"pid {one['pid']} ({one['role']}, {one['application_name'] or 'nameless'}, from "
        f"{one.get('host') or one.get('address') or 'the database host'}: {why})"
        for one, why in reasons
        if why
    ]
    if not old:
        return []
    more = f" and {len(old) - SHOWN} more" if len(old) > SHOWN else ""
    named = "; ".join(old[:SHOWN]) + more
    said = (
        f"{len(old)} database sessions may be of the old release: {named}. End what runs them, or name in"
        " contract_known_addresses the addresses of what is known to be new, such as a pooler"
    )
    return [said]


def _why_old(
    rollout: Mapping[str, Any], session: Mapping[str, Any], version: str, known_addresses: Sequence[str]
) -> str:
    """Why a session may be of the old release; empty when it cannot be."""
    says = _SAYS.search(session["application_name"] or "")
    if says and says.group(1) != version:
        return f"it says that it is of {says.group(1)}"
    host = session.get("host")
    if host is None and session.get("address") not in known_addresses:
        return "that is no application host of the inventory"
    # A pooler's session may be of any host: it is new only if the last of them was new before it began.
    times = [_new_since(rollout, name) for name in ([host] if host is not None else rollout.get("hosts") or {})]
    if not times or None in times:
        return (
            ""
            if says
            else (
                f"nobody recorded since when {host or 'every host'} runs {version}, and the session does not say its"
                " release"
            )
        )
    if session["begun"] < max(time for time in times if time is not None):
        return f"it began before {host or 'the last host'} was switched to {version}"
    return ""


def _new_since(rollout: Mapping[str, Any], host: str) -> float | None:
    """Epoch seconds from which on a host runs the release for certain; None when nobody knows.

    One that ran it before the rollout began was not switched by it: of that time the beginning of the rollout is all
    that is known here.
    """
    known = (rollout.get("hosts") or {}).get(host) or {}
    if known.get("switched"):
        return epoch(known["switched"])
    wanted = ((rollout.get("manifest") or {}).get("artifact") or {}).get("sha256")
    ran_it = wanted and (known.get("before") or {}).get("digest") == wanted
    return epoch(rollout["started"]) if ran_it and rollout.get("started") else None


def _unfinished(owed: Sequence[Mapping[str, Any]], backfills: Sequence[Mapping[str, Any]] | None) -> list[str]:
    known = {one["name"]: one for one in backfills or []}
    found = []
    for name in [one["name"] for one in owed]:
        one = known.get(name)
        if one is None or not one.get("finished"):
            left = (
                f"{one['left']['rows']} rows of {one['table']} are left, {one['left']['how']}"
                if one
                else "its progress could not be read"
            )
            found.append(
                f"the backfill {name} is not complete ({left}); run ansible-playbook playbooks/backfill.yml until it"
                " says that it is"
            )
    return found


def _line(message: Any) -> str:
    return " ".join(str(message or "it does not answer").split()).rstrip(".")[:200]
