# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a playbook must not begin as it was launched: an ansible-core that is too old, options that leave a part out, or
an inventory without the fleet. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WHOLE = ("application", "database", "balancer", "monitoring")
# One host each, which must be in the other group as well.
NAMED = {"ledger": "monitoring", "database_primary": "database"}
# Both are in the inventory and empty where the application has no database; one that is missing is a mistake.
OF_DATABASE = ("database", "database_primary")
# The oldest ansible-core that is tested, as in meta/runtime.yml: for a version that is older, Ansible only warns.
OLDEST = (2, 19)
# Molecule adds --skip-tags with these two to whatever it plays; no task of ours has them.
OF_MOLECULE = frozenset({"molecule-notest", "notest"})


def too_old(core: str) -> str | None:
    """Say that ansible-core is too old, and what to do; None when it is not. core: its version, such as 2.19.4rc1."""
    oldest = ".".join(map(str, OLDEST))
    if tuple(int(part) for part in core.split(".")[:2]) >= OLDEST:
        return None
    return (
        f"nothing was done: this is ansible-core {core}, and Gradual needs {oldest} or newer: pip install"
        f" 'ansible-core>={oldest}' (in AWX: an execution environment that has it, awx/execution-environment.yml)."
    )


def without_database(groups: Mapping[str, Sequence[str]]) -> bool:
    """Whether the inventory says that there is no database: its groups are there, and empty."""
    return all(groups.get(name) is not None and len(groups[name]) == 0 for name in OF_DATABASE)


def objection(
    options: Mapping[str, Any],
    groups: Mapping[str, Sequence[str]],
    limit_allowed: bool = False,
    needs_database: bool = False,
) -> str | None:
    """Say why nothing may be done, and what to type instead; None when nothing speaks against it.

    options: those of ansible-playbook's command line, where its environment and configuration have been taken into
    account already; groups: the inventory's groups of hosts, whatever the limit; needs_database: the playbook has
    nothing to do without one.
    """
    partial = _partial(options, limit_allowed)
    if partial:
        return (
            f"nothing was done: this playbook {'is played' if limit_allowed else 'works on the whole fleet,'} in one"
            f" piece, and was given {' '.join(partial)}. Launch it again without"
            f" {'that' if len(partial) == 1 else 'these'} (in AWX: leave"
            f" {'Job Tags' if limit_allowed else 'Limit, Job Tags'} and Skip Tags empty)."
            + ("" if limit_allowed else " To keep a host out, take it out of the inventory's groups.")
        )
    if needs_database and without_database(groups):
        return (
            "nothing was done: this playbook works on the database, and the inventory has none: its groups database and"
            " database_primary are empty."
        )
    missing = _missing(groups)
    if missing:
        given = " ".join(f"-i {source}" for source in options.get("inventory") or ()) or "no inventory"
        return (
            f"nothing was done: {given} is not the inventory of a whole fleet: {'; '.join(missing)}. "
            "Name the right one with -i; inventories/example shows the groups."
        )
    return None


def _partial(options: Mapping[str, Any], limit_allowed: bool) -> list[str]:
    """The options that leave something out, as one types them."""
    tags = set(options.get("tags") or ()) - {"all"}
    if options.get("listtags"):
        tags -= {"never"}  # what --list-tags asks for by itself
    skipped = set(options.get("skip_tags") or ()) - OF_MOLECULE
    found = []
    if options.get("subset") and not limit_allowed:
        found.append(f"--limit {options['subset']}")
    if tags:
        found.append(f"--tags {','.join(sorted(tags))}")
    if skipped:
        found.append(f"--skip-tags {','.join(sorted(skipped))}")
    if options.get("start_at_task"):
        found.append(f"--start-at-task '{options['start_at_task']}'")
    if options.get("step"):
        found.append("--step")
    return found


def _missing(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong with the groups, a phrase for each."""
    found = []
    permitted = OF_DATABASE if without_database(groups) else ()
    empty = [name for name in (*WHOLE, *NAMED) if not groups.get(name) and name not in permitted]
    if empty:
        found.append(f"no host in {', '.join(empty)}")
    if any(name in OF_DATABASE for name in empty):
        found.append(f"for an application without a database, both {' and '.join(OF_DATABASE)} must be there and empty")
    for name, of in NAMED.items():
        hosts = groups.get(name) or ()
        if len(hosts) > 1:
            found.append(f"{name} must have exactly one host, and has {', '.join(hosts)}")
        elif hosts and groups.get(of) and hosts[0] not in groups[of]:
            found.append(f"{hosts[0]} of the group {name} is not in the group {of} ({', '.join(groups[of])})")
    return found
