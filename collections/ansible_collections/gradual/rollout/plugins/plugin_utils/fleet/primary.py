# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the host that the inventory names as the primary is the one that takes writes. A pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def database_problems(found: Mapping[str, Mapping[str, Any]], primary: str) -> list[str]:
    """Say why the database hosts are not what the inventory says; an empty list when they are.

    found: what the module revision_info returned, for every host of the group database; primary: the host in the group
    database_primary.
    """
    writable = sorted(host for host, seen in found.items() if seen.get("standby") is False)
    seen = found.get(primary) or {}
    problems = []
    if seen.get("standby") is None:
        problems.append(
            f"{primary}: it is in the inventory's group database_primary, and its database cannot be asked whether it"
            f" takes writes: {seen.get('reason') or 'it was not looked at'}; mend that, or write the host that takes"
            " writes into that group"
        )
    elif seen["standby"]:
        instead = (
            f"{', '.join(writable)} takes writes: write {' or '.join(writable)} into that group"
            if writable
            else (
                "no host of the group database was seen to take writes: write the one that does into both groups, or"
                " promote this one"
            )
        )
        problems.append(
            f"{primary}: it is in the inventory's group database_primary, and it is a standby (pg_is_in_recovery() is"
            f" true); {instead}"
        )
    else:
        problems += [
            f"{host}: it takes writes (pg_is_in_recovery() is false), and so does {primary} of the group"
            " database_primary, so users may write to either; make one of them a standby, or take it out of the group"
            " database"
            for host in writable
            if host != primary
        ]
    return problems
