# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Looks as the ledger keeps them: of the counts only what the look before did not have. So a bake of any length writes
a few kilobytes a look, and each verdict can still be computed again from the record. Pure.

In a folded look, each metric of `counts.metrics` has `rows_kept` and `aa_kept`: so many rows at the beginning of `rows`
and `aa` are those of the look before, which is the one before in the record of the same event. Without these keys all
rows are there, as in the first look of a stage.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError

LISTS = ("rows", "aa")

Json = t.Dict[str, t.Any]


def fold(look: Json, before: t.Optional[Json]) -> Json:
    """The look without the rows that the look before had in the same place; both as gate_look returns them."""
    if before is None or _names(look) != _names(before):
        return look
    metrics = [_fold_metric(now, then) for now, then in zip(look["counts"]["metrics"], before["counts"]["metrics"])]
    return {**look, "counts": {**look["counts"], "metrics": metrics}}


def unfold(look: Json, before: t.Optional[Json]) -> Json:
    """The whole look; `before` is the whole look before it. Raises GateError where that is needed and is missing."""
    if not is_folded(look):
        return look
    if before is None or _names(look) != _names(before):
        raise GateError(f"look {look.get('look')} needs the look before it, which is not in the record")
    whole = [_unfold_metric(now, then) for now, then in zip(_metrics(look), before["counts"]["metrics"])]
    return {**look, "counts": {**look["counts"], "metrics": whole}}


def unfolded(lines: t.Iterable[Json], events: t.Collection[str] = ("gate.looked", "canary.looked")) -> t.List[Json]:
    """Lines of a ledger with every look whole; one that cannot be made whole stays as it is, and proves nothing."""
    last: t.Dict[t.Tuple[str, str], Json] = {}
    result = []
    for line in lines:
        if line["event"] in events:
            key = (line["rollout"], line["event"])
            data = line["data"]
            with contextlib.suppress(GateError):
                data = unfold(data, last.get(key))
            last[key] = data
            result.append({**line, "data": data})
        else:
            result.append(line)
    return result


def is_folded(look: t.Mapping[str, t.Any]) -> bool:
    """Whether rows are missing that are in the look before."""
    return any(f"{key}_kept" in metric for metric in _metrics(look) for key in LISTS)


def _metrics(look: t.Mapping[str, t.Any]) -> t.List[Json]:
    counts = look.get("counts")
    metrics = counts.get("metrics") if isinstance(counts, dict) else None
    return [metric for metric in metrics if isinstance(metric, dict)] if isinstance(metrics, list) else []


def _names(look: Json) -> t.List[t.Tuple[t.Any, t.Any]]:
    return [(metric.get("feature"), metric.get("metric")) for metric in _metrics(look)]


def _fold_metric(now: Json, then: Json) -> Json:
    """Both may be without their first rows: so many as `rows_kept` says."""
    result = dict(now)
    for key in LISTS:
        absent = now.get(f"{key}_kept", 0)
        skipped = absent - then.get(f"{key}_kept", 0)
        if key in now and skipped >= 0:
            equal = _equal(now[key], (then.get(key) or [])[skipped:])
            result[key], result[f"{key}_kept"] = now[key][equal:], absent + equal
    return result


def _unfold_metric(now: Json, then: Json) -> Json:
    result = {key: value for key, value in now.items() if not key.endswith("_kept")}
    for key in LISTS:
        if kept := now.get(f"{key}_kept"):
            if len(then.get(key) or []) < kept:
                raise GateError(f"the look before has {len(then.get(key) or [])} {key}, expected {kept} at least")
            result[key] = [*then[key][:kept], *now[key]]
    return result


def _equal(one: t.Sequence[t.Any], other: t.Sequence[t.Any]) -> int:
    """How many items at the beginning of both are equal."""
    for place, (mine, theirs) in enumerate(zip(one, other)):
        if mine != theirs:
            return place
    return min(len(one), len(other))
