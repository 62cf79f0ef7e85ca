# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first host on the new code, compared on what its users do with the hosts that still run the old. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.application import contract
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import BUILT_IN
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch

# The time before the canary was changed that is counted too: so many times as long as it is watched, and no shorter
# than this in seconds.
BEFORE, SHORTEST_BEFORE = 3, 300
# A hold lasts so many times as long as the canary is watched; then the policy for no data applies.
DEADLINE = 1.5

UNCOUNTED = (
    "not measured: the release before the rollout lacks http_requests_total or http_request_duration_seconds, or the"
    " bucket at gate.slow_seconds, so the canary cannot be compared with the other hosts; see docs/contract-check.md"
)

Json = t.Dict[str, t.Any]


def canary_watch(
    rollout: t.Mapping[str, t.Any],
    host: str,
    balancers: t.Sequence[t.Sequence[t.Mapping[str, t.Any]]],
    contracts: t.Sequence[t.Sequence[contract.Finding]] = (),
) -> Json:
    """What to watch the canary `host` against, as the ledger's events canary.began and canary.skipped have it.

    `rollout` is the rollout as ledger_info returns it, `balancers` the servers of each balancer as haproxy_server_info
    does, `contracts` the findings of contract_check for each host before the rollout, as far as they are known. Returns
      host, control   the canary, and the hosts that serve users on the code before; without any, `reason` says why
                      nothing is watched
      percent         the canary's part of these hosts
      aa              {since, until} in epoch seconds: the same hosts before the release touched any of them; None when
                      that is not known
      bake, metrics   settings of the gate for these looks: harm is looked for, nothing has to be certified, so there is
                      no longest time
    """
    manifest = rollout["manifest"]
    seconds, look = (int(manifest["bake"][key]) for key in ("canary", "look"))
    running = [
        name
        for name, known in rollout["hosts"].items()
        if name != host and _runs_old(known, manifest["artifact"]["sha256"])
    ]
    control = sorted(name for name in running if balancers and all(_serves(name, servers) for servers in balancers))
    # What the code before does not count cannot be compared. If only the new code does not, that is missing data.
    uncounted = control and not all(map(contract.compares_hosts, contracts))
    reason = UNCOUNTED if uncounted else None if control else _why(host, running)
    control = [] if uncounted else control
    return {
        "host": host,
        "control": control,
        "percent": round(100 / (1 + len(control))),
        "reason": reason,
        "aa": _before(rollout, seconds),
        "bake": {
            "min": seconds,
            "max": 2 * DEADLINE * seconds,
            "deadline": DEADLINE * seconds,
            "look": max(1, min(look, seconds // 2)),
        },
        # The built-in ones alone: what a feature counts has no host to blame.
        "metrics": [
            entry for entry in (manifest.get("gate") or {}).get("metrics") or [] if entry.get("name") in BUILT_IN
        ],
    }


def canary_look(
    look: t.Mapping[str, t.Any],
    host: str,
    balancers: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]],
    past: t.Mapping[str, t.Any],
) -> Json:
    """A look of the gate at the canary, judged again with what each balancer says of it: nobody is hurt by a host that
    gets no users.

    `look` is RV(look) of gate_look, `balancers` the servers by balancer as haproxy_server_info has them, seen after the
    look; `past` is what gate_look was given. What the balancers say is kept in the counts of the look, so that the
    record gives the same verdict again.
    """
    absent = {"state": "missing", "status": "not in the backend", "check": "", "up": False}
    found = {
        name: next((server for server in servers if server["name"] == host), absent)
        for name, servers in sorted(balancers.items())
    }
    seen = [
        {"balancer": name, **{key: server[key] for key in ("state", "status", "check", "up")}}
        for name, server in found.items()
    ]
    told = {**look, "counts": {**look["counts"], "serving": {"host": host, "seen": seen}}}
    return {**told, **gate_verdict.judge_again(told, past.get("metrics", []))}


def _runs_old(known: t.Mapping[str, t.Any], digest: str) -> bool:
    """Whether a host still runs what it ran before the rollout, and that is something else than what is released."""
    before = known.get("before") or {}
    return known.get("now") in ("untouched", "returned") and bool(before.get("digest")) and before["digest"] != digest


def _serves(host: str, servers: t.Sequence[t.Mapping[str, t.Any]]) -> bool:
    return any(server["name"] == host and server["state"] == "ready" for server in servers)


def _why(host: str, running: t.Sequence[str]) -> str:
    if running:
        return (
            f"{', '.join(sorted(running))} would be the control of {host} and get no traffic, so there is nobody to"
            " compare its users with"
        )
    return f"no other host runs the code before, so there is nobody to compare the users of {host} with"


def _before(rollout: t.Mapping[str, t.Any], seconds: int) -> t.Optional[t.Dict[str, float]]:
    try:
        until = epoch(rollout["steps"]["release"]["started"])
    except (KeyError, TypeError, ValueError):
        return None
    return {"since": round(until - max(BEFORE * seconds, SHORTEST_BEFORE), 3), "until": until}
