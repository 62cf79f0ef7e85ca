# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a rollout: its steps, what each changes, what undoes it, how long it takes and what could go wrong.

Pure: a manifest, the hosts, the durations of earlier rollouts and the state of this one in, plain rows out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import listed, span
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.waves import waves_of
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import forecast as plan_forecast

# Seconds for a step that no earlier rollout has timed. They are called an estimate wherever they are shown.
ESTIMATES = {"preflight": 10, "backup": 30, "migrate": 15, "verify": 15, "report": 10}
ESTIMATE_A_WAVE = 20
ESTIMATE_TO_SET_A_STAGE = 15
# Of more hosts than these the plan says how many, and not which.
MOST_NAMES = 10


class PlanError(ValueError):
    """What in the input is wrong, the value seen and what to write instead."""


def names_of(hosts: Any) -> list[str]:
    """The application hosts, whether given as a list or as a mapping with the key `application`."""
    if hosts is None:
        return []
    if isinstance(hosts, Mapping):
        hosts = hosts.get("application", list(hosts))
    if isinstance(hosts, str) or not isinstance(hosts, Sequence):
        raise PlanError(f"rollout_plan: hosts must be a list of host names, not {hosts!r}; write groups['application']")
    return [str(host) for host in hosts]


def make(
    manifest: Mapping[str, Any], hosts: Any = None, durations: Mapping[str, float] | None = None, state: Any = None,
    forecast: Any = None,
    felt: bool = False,
    waves: Sequence[int] = (1,),
    phases: Sequence[Mapping[str, str]] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """The steps in their order.

    `durations` are seconds by step, as earlier completed rollouts took; `state` is the rollout as ledger_info returns
    it, and marks what is done already; `forecast` is what forecast_info returns; `felt`: users feel the restart, since
    one host alone serves them; `waves` is how many hosts are switched at once (fleet/waves.py); `phases` is what
    migration_lint returns, and stands in the row of migrate. Each row: {step, stage, what, changes, undo,
    expected_seconds, source, risk, seen_by, then, point_of_no_return, later, state}; `source` is "traffic", "earlier
    runs", "manifest" or "estimate"; rows with `later` are no part of deploy.yml and have no expected duration; stages
    of the ramp have `power` where there is a forecast (forecast.py).
    """
    if not isinstance(manifest, Mapping) or not manifest.get("application"):
        raise PlanError(
            f"rollout_plan: expected the manifest as gradual.rollout.manifest returns it, got {manifest!r:.80}"
        )
    names = names_of(hosts)
    release = f"{manifest['application']} {manifest.get('version', '?')}"
    rows = [_preflight(release), _backup(manifest)]
    if manifest.get("migrations"):
        rows.append({**_migrate(manifest), "phases": [dict(one) for one in phases]})
    rows.append(_release(manifest, release, names, felt, waves))
    if manifest.get("features"):
        rows += [_aa(manifest)] if _aa_seconds(manifest) else []
        rows += [_stage(manifest, stage) for stage in manifest.get("stages") or []]
    rows += [_verify(manifest), _report(release)]
    if manifest.get("features"):
        rows.append(_retire(manifest))
    if manifest.get("migrations"):
        rows.append(_contract(manifest))
    for row in rows:
        _time(row, manifest, len(names), len(waves_of(names, waves)), durations or {})
        row["state"] = _state(row, state or {})
    plan_forecast.add(
        rows, forecast or {}, float((manifest.get("bake") or {}).get("min") or 0), ESTIMATE_TO_SET_A_STAGE
    )
    return rows


def _row(step: str, what: str, *, changes: str, undo: str, risk: str, seen_by: str, then: str) -> dict[str, Any]:
    return {
        "step": step,
        "stage": None,
        "what": what,
        "changes": changes,
        "undo": undo,
        "risk": risk,
        "seen_by": seen_by,
        "then": then,
        "point_of_no_return": False,
        "later": False,
    }


def _preflight(release: str) -> dict[str, Any]:
    return _row(
        "preflight",
        f"check the manifest of {release}, the fleet, clocks, disks, alerts and the previous release; take the lock",
        changes="nothing on any host; the ledger is opened",
        undo="nothing to undo",
        risk="the fleet is not ready: a host is down, a clock is off, a disk is full, a digest is wrong",
        seen_by="the checks themselves, each naming host and value",
        then="stops before anything has changed",
    )


def _backup(manifest: Mapping[str, Any]) -> dict[str, Any]:
    backup = manifest.get("backup") or {}
    if backup.get("method") == "none":
        return _row(
            "backup",
            "no backup, because the inventory has no database (backup.method: none)",
            changes="nothing",
            undo="nothing to undo",
            risk="the application keeps data in a place that Gradual does not know",
            seen_by="nothing: Gradual cannot see it",
            then="a rollback brings the code and the features back, and no data",
        )
    return _row(
        "backup",
        f"take a backup ({backup.get('method', 'dump')}) and prove it ({backup.get('level', 'restored')})",
        changes="files on the database host, and a scratch cluster for as long as the proof takes",
        undo="delete the files; nothing else was touched",
        risk="the backup is cut, damaged or of another database; the disk fills up",
        seen_by="restoring it beside the live cluster and comparing schema, counts and digests",
        then="stops; nothing migrates without a receipt; older backups stay",
    )


def _migrate(manifest: Mapping[str, Any]) -> dict[str, Any]:
    migrations = manifest["migrations"]
    return _row(
        "migrate",
        f"expand migrations ({migrations.get('adapter', 'alembic')}) up to {migrations.get('target', 'head')}",
        changes="the schema, by additions only; the old code runs on it",
        undo="none needed: the additions stay, and the old code was proven to run on them",
        risk="a migration waits behind a long transaction, or fails halfway",
        seen_by="lock_timeout and its retries; the revision read before and after",
        then="stops before any host has changed; hosts stay on the old code",
    )


def _canary_seconds(manifest: Mapping[str, Any], hosts: int) -> float:
    """Seconds for which the first host is watched before others follow; 0 for none, or where it is the only one."""
    return float((manifest.get("bake") or {}).get("canary") or 0) if hosts != 1 else 0.0


def _order(names: list[str], sizes: Sequence[int], watched: str) -> str:
    """Which hosts are switched at once, and in which order; of many hosts only how many."""
    few = len(names) <= MOST_NAMES
    waves, told = waves_of(names, sizes), []
    if len(waves[0]) == 1:
        told = [f"{names[0] if few else 'the first host'} first as the canary{watched}"]
        waves = waves[1:]
    if all(len(wave) == 1 for wave in waves):
        rest = [wave[0] for wave in waves]
        told += [", ".join(rest) if few else f"{len(rest)} others one by one"] if rest else []
    else:
        told += [(listed(wave) if few else f"{len(wave)}") + " at once" * (len(wave) > 1) for wave in waves]
    return ", then ".join(told)


def _release(
    manifest: Mapping[str, Any], release: str, names: list[str], felt: bool, sizes: Sequence[int]
) -> dict[str, Any]:
    seconds = _canary_seconds(manifest, len(names))
    watched = f", watched for {span(seconds)} against hosts on the old code" if seconds else ""
    where = _order(names or ["one host", "the others"], sizes, watched)
    how = "in waves" if any(len(wave) > 1 for wave in waves_of(names, sizes)) else "one by one"
    return _row(
        "release",
        f"put {release} on the hosts {how}: {where}; every flag off"
        + (
            "; USERS WILL NOTICE IT: one host alone serves them, and none while it is restarted (min_in_traffic: 0"
            " permits that)"
            if felt
            else ""
        ),
        changes="each host: drained, switched to the new directory, started, probed, admitted; the old one is kept",
        undo="rollback.yml: each changed host is drained and switched back to the directory it came from",
        risk="the release does not start, never becomes ready, or answers wrongly; a host is lost meanwhile"
        + ("; users of the new code get errors or wait, whatever the flags say" if seconds else ""),
        seen_by=(
            "readiness and the digest on /version, probes on the host and through the balancer, before it is admitted"
        )
        + (
            "; then the gate: errors and slow answers of the canary's users and of the others', compared at each look"
            if seconds
            else ""
        ),
        then="the changed hosts are rolled back automatically, drained first",
    )


def _aa_seconds(manifest: Mapping[str, Any]) -> float:
    """Seconds for which the users of all stages are compared with the features off; 0 for none."""
    return float((manifest.get("bake") or {}).get("aa") or 0) if _labels(manifest) else 0.0


def _labels(manifest: Mapping[str, Any]) -> list[int]:
    return flag_definition.labels_of(list(manifest.get("stages") or []), _holdback(manifest))


def _holdback(manifest: Mapping[str, Any]) -> int:
    return int((manifest.get("gate") or {}).get("holdback") or 0)


def _aa(manifest: Mapping[str, Any]) -> dict[str, Any]:
    row = _row(
        "ramp",
        f"with the features off for all, watch the users of each future stage for {span(_aa_seconds(manifest))} (A/A)",
        changes=(
            f"the flag file on each host: the users of {', '.join(f'{percent} %' for percent in _labels(manifest))} get"
            " a label; nobody sees a feature"
        ),
        undo="nothing to undo: the first stage or a rollback removes the labels",
        risk="users of a stage differ from the others already without the feature: a heavy client, a bad host",
        seen_by=(
            "errors and slow answers of the users of each stage, without the feature; the gate subtracts them from what"
            " it sees later"
        ),
        then="as in a stage: flags to 0 on every host"
        + (
            ", then the hosts are rolled back"
            if manifest.get("on_abort") == "release"
            else "; the hosts keep the new code"
        ),
    )
    # The share of users who see a feature.
    row["stage"] = 0
    return row


def _stage(manifest: Mapping[str, Any], stage: int) -> dict[str, Any]:
    bake = manifest.get("bake") or {}
    stages = list(manifest.get("stages") or [])
    before = stages[stages.index(stage) - 1] if stages.index(stage) else 0
    shown = flag_definition.shown_at(stage, _holdback(manifest))
    flags = ", ".join(str(feature.get("flag", feature)) for feature in manifest["features"])
    minutes = f"{span(bake.get('min'))} to {span(bake.get('max'))}"
    hosts_too = manifest.get("on_abort") == "release"
    row = _row(
        "ramp",
        f"show {flags} to {stage} % of the users and watch for {minutes}"
        + (f"; {stage - shown} % are held back as the control until it is certified" if shown < stage else "")
        + ("; then a person must approve" if manifest.get("approval") and stage != stages[-1] else ""),
        changes=(
            f"the flag file on each host: {before} % becomes {f'{shown} %, then ' if shown < stage else ''}{stage} %;"
            " the same users keep what they have"
        ),
        undo=(
            f"flags to 0 at once (rollback.yml); without a run, the stage falls back to {before} % by itself "
            f"{span(bake.get('expiry'))} after the last look"
        ),
        risk="the features fail or are slow for those who have them; too little traffic to judge",
        seen_by="the gate: errors and slow answers of users with and without the feature, compared at each look",
        then="flags to 0 on every host at once"
        + (", then the hosts are rolled back" if hosts_too else "; the hosts keep the new code"),
    )
    row["stage"] = stage
    return row


def _verify(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return _row(
        "verify",
        f"smoke tests of {len(manifest.get('features') or [])} features, flag on and off, on each host and through the"
        " front door",
        changes="nothing",
        undo="nothing to undo",
        risk="a feature looks good in the metrics but fails for a user",
        seen_by="the smoke tests of the manifest",
        then="as in ramp",
    )


def _report(release: str) -> dict[str, Any]:
    return _row(
        "report",
        f"write what happened to {release} from the ledger, with the evidence of each claim",
        changes="three files on the ledger host",
        undo="nothing to undo",
        risk="a claim without evidence",
        seen_by="`make check-report`, which recomputes each claim from the ledger",
        then="the gate of the report is not PASS",
    )


def _retire(_manifest: Mapping[str, Any]) -> dict[str, Any]:
    row = _row(
        "retire",
        "later, by retire.yml: remove the flags that no process evaluates any more",
        changes="the flag file on each host",
        undo="the next rollout of the same release sets them again",
        risk="code that still asks for a flag gets its code default: off",
        seen_by="feature_evaluations_total, which must not grow",
        then="refuses",
    )
    row["later"] = True
    return row


def _contract(_manifest: Mapping[str, Any]) -> dict[str, Any]:
    row = _row(
        "contract",
        "later, by contract.yml: destructive migrations, which remove what only the old code reads",
        changes="the schema, by removing",
        undo="NONE: the old code does not run on it. Only a restore of the backup brings the data back",
        risk="something still uses what is removed",
        seen_by="its own checks before it begins: every host on the new release, no session of the old one, and others",
        then="stops; rollback.yml refuses to put the old code on this schema",
    )
    row.update(later=True, point_of_no_return=True)
    return row


def _time(
    row: dict[str, Any], manifest: Mapping[str, Any], hosts: int, waves: int, durations: Mapping[str, float]
) -> None:
    """Set expected_seconds and where the figure comes from."""
    row["expected_seconds"], row["source"] = None, None
    if row["later"]:
        return
    step, stages, aa = row["step"], len(manifest.get("stages") or []), _aa_seconds(manifest)
    if row["stage"] == 0:
        row["expected_seconds"], row["source"] = round(aa) + ESTIMATE_TO_SET_A_STAGE, "manifest"
    elif step == "ramp":
        least = float((manifest.get("bake") or {}).get("min") or 0)
        earlier = (float(durations.get(step) or 0) - (aa + ESTIMATE_TO_SET_A_STAGE if aa else 0)) / max(stages, 1)
        # A ramp that was quicker than this one can be had no features, or other stages: it says nothing of this one.
        known = durations.get(step) is not None and earlier >= least
        row["expected_seconds"] = round(earlier if known else least + ESTIMATE_TO_SET_A_STAGE)
        row["source"] = "earlier runs" if known else "manifest"
    elif durations.get(step) is not None and not (
        step == "release" and durations[step] < _canary_seconds(manifest, hosts)
    ):
        row["expected_seconds"], row["source"] = round(float(durations[step])), "earlier runs"
    elif step == "release":
        row["expected_seconds"], row["source"] = (
            round(max(waves, 1) * ESTIMATE_A_WAVE + _canary_seconds(manifest, hosts)),
            "estimate",
        )
    else:
        row["expected_seconds"], row["source"] = ESTIMATES[step], "estimate"


def _state(row: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """What the ledger says of this step: finished, started, failed or to do. A closed rollout says nothing."""
    if not state.get("open"):
        return "to do"
    if row["stage"] == 0 and state.get("aa"):
        return "finished"
    if row["stage"] and (state.get("certified") or 0) >= row["stage"]:
        return "finished"
    seen = ((state.get("steps") or {}).get(row["step"]) or {}).get("state", "to do")
    return "to do" if row["stage"] is not None and seen == "finished" else str(seen)
