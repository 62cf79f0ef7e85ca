# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What became of a kill, from the results of feature_flags by host. Pure functions."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping

Json = Dict[str, Any]
Results = Mapping[str, Mapping[str, Any]]


def summary(flag: str, results: Results, killing: bool, check_mode: bool = False) -> Json:
    """{changed, changed_hosts, hosts, unverified, lost, unknown, mark, problem}: hosts are those where the flag is as
    wanted, verified in every process; unverified, lost and unknown are the others.

    killing: else the flag is allowed again. mark: the earliest of the kill, None without any. problem: what a person
    must know before it counts as done; empty if it is done on every host.
    """
    failed = {host: result for host, result in results.items() if result.get("failed")}
    unknown = sorted(host for host, result in results.items() if result.get("unknown"))
    marks = [result["killed"][flag] for result in results.values() if flag in (result.get("killed") or {})]
    changed = sorted(host for host, result in results.items() if result.get("changed"))
    told: Json = {
        "changed": bool(changed),
        "changed_hosts": changed,
        "hosts": sorted(set(results) - set(failed) - set(unknown)),
        "unverified": sorted(host for host, result in failed.items() if result.get("written")),
        "lost": sorted(host for host, result in failed.items() if not result.get("written")),
        "unknown": unknown,
        "mark": min(marks, key=lambda mark: str(mark["at"])) if marks else None,
    }
    return {**told, "problem": " ".join(_problems(flag, results, told, killing, check_mode))}


def _problems(flag: str, results: Results, told: Json, killing: bool, check_mode: bool) -> Iterator[str]:
    if told["unknown"] and not told["hosts"] and not told["unverified"]:
        known = {name for host in told["unknown"] for name in results[host]["document"]["flags"]}
        yield (
            f"No flag {flag} is in the flag file of {', '.join(told['unknown'])}, so nothing was changed there; got"
            f" flag={flag}, expected one of: {', '.join(sorted(known)) or 'none, the files have no flags'}."
        )
    for host in told["unverified"]:
        yield f"{host}: {results[host].get('msg')}."
    for host in told["lost"]:
        yield f"{host}: {' '.join(str(results[host].get('msg')).split()).rstrip('.')}."
    if told["lost"] and killing:
        showed = (told["mark"] or {}).get("showed") or "not known"
        yield f"Meanwhile {', '.join(told['lost'])} {_meanwhile(flag, showed, len(told['lost']))}"
    if told["lost"] or told["unverified"]:
        yield f"When this is mended, run the same command again{' without --check' if check_mode else ''}."


def _meanwhile(flag: str, showed: str, count: int) -> str:
    """What hosts that were not reached show their users, by what the flag showed before the kill elsewhere."""
    verb = "shows" if count == 1 else "show"
    if showed == "not known":
        return f"{verb} what was written there last; what that is could be read on no host."
    last = f"{verb} {flag} as it was written last: {showed}"
    if " until " in showed:
        return f"{last}. That end comes by itself, on each host; what comes then stays until the host is reached."
    return f"{last}. That stays until the host is reached."
