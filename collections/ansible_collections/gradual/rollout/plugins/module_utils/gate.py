# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The gate: counts of a stage in, verdict out. A pure function, so that a verdict can be recomputed from the record.

The counts of one look:
  percent   share of the stage
  since, until   start of the stage and time of the look, seconds since the epoch
  interval  seconds of an interval
  stages    number of stages over which alpha is shared
  problems  sentences on what concerns every metric
  metrics   [{feature, metric: "errors" or "slow", problem: sentence or None, offset: ratio of the two arms when neither had the feature,
            1 if left out, before: {events, bad} of all users shortly before a stage that has no control,
            rows: [[seconds after since, requests and bad ones with the feature, requests and bad ones without it]]}]
A row without numbers (None) is an interval that was not seen.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils import sequential, wording
from ansible_collections.gradual.rollout.plugins.module_utils.gate_settings import GateError, Settings, settings_from

__all__ = ["VERDICTS", "GateError", "Settings", "judge", "judge_again", "settings_from"]

VERDICTS = ("abort", "hold", "continue", "promote")
# Requests that an interval, or several in a row, must have before its share is held against a hard limit.
ENOUGH = 20
# Intervals that a stage may go on without a single full one before that is "no data".
GRACE = 3
NO_DATA = "no data"
# An e-value from which on nothing is certified: little harm is no reason to go on while it looks like harm.
SUSPICIOUS = 3.0
CAP = 1e12

Json = t.Dict[str, t.Any]


@dataclasses.dataclass
class Arm:
    """Requests and bad ones of one arm."""

    events: int = 0
    bad: int = 0

    @property
    def share(self) -> t.Optional[float]:
        return self.bad / self.events if self.events else None

    def as_dict(self) -> Json:
        return {"events": self.events, "bad": self.bad}


def judge(counts: t.Mapping[str, t.Any], settings: Settings) -> Json:
    """The verdict on one look with a sentence, each metric with its own, and since when the treatment has had a bad event.

    Whatever the counts hold, no data is "hold": "promote" needs complete rows, enough requests and a test that excludes harm, for every
    metric. `deadline_passed` says that a hold has lasted until the policy `on_no_data` applies.
    """
    elapsed = max(0.0, _number(counts.get("until")) - _number(counts.get("since")))
    metrics = [metric for metric in _list(counts.get("metrics")) if isinstance(metric, dict)]
    alpha = settings.alpha / max(1, len(metrics)) / max(1, int(_number(counts.get("stages")) or 1))
    alone = _number(counts.get("percent")) >= 100
    young = elapsed < max(GRACE * _number(counts.get("interval")), settings.look)
    judged = [_judge_metric(metric, settings, alpha, alone, young) for metric in metrics]
    problems = [str(problem) for problem in _list(counts.get("problems"))]
    if not metrics:
        problems.append("there is no metric to judge")
    verdict, reason = _together(judged, problems, settings, elapsed)
    first_bad = min((each["first_bad"] for each in judged if each["first_bad"] is not None), default=None)
    since = _number(counts.get("since"))
    for each in judged:
        offset = each.pop("first_bad")
        del each["why"], each["distance"]
        each["first_bad_at"] = None if offset is None else round(since + offset, 3)
    return {
        "verdict": verdict,
        "reason": reason,
        "elapsed": round(elapsed, 3),
        "deadline_passed": verdict == "hold" and elapsed >= settings.deadline,
        "first_bad_at": None if first_bad is None else round(since + first_bad, 3),
        "metrics": judged,
    }


def judge_again(look: t.Mapping[str, t.Any]) -> Json:
    """The verdict that a recorded look must have, from its counts and settings; raises GateError when it holds neither."""
    try:
        settings = Settings(**look["settings"])
        return judge(look["counts"], settings)
    except (KeyError, TypeError) as error:
        raise GateError(f"the look holds no counts and settings to judge again: {error!r}") from error


def _together(judged: t.Sequence[Json], problems: t.Sequence[str], settings: Settings, elapsed: float) -> t.Tuple[str, str]:
    """Verdict and sentence of the whole look: the worst metric decides, and the one that has farthest to go explains."""
    by_verdict = {name: [each for each in judged if each["verdict"] == name] for name in VERDICTS}
    if by_verdict["abort"]:
        return "abort", "; ".join(each["reason"] for each in by_verdict["abort"])
    if problems or by_verdict["hold"]:
        # Where a problem of all is told, that a metric has no data is no news.
        telling = [each for each in by_verdict["hold"] if not (problems and each["why"] == NO_DATA)]
        return "hold", "; ".join([*problems, *wording.grouped(telling)])
    waiting, seen = by_verdict["continue"], wording.summary(judged)
    farthest = max(waiting or judged, key=lambda each: float(each["distance"]))
    named = f"{wording.name(farthest)}: {farthest['why']}" if len(judged) > 1 else farthest["why"]
    if not waiting and elapsed >= settings.min:
        return "promote", f"{seen}: harm is excluded, {named}"
    if elapsed >= settings.max:
        return "hold", f"no decision after {settings.max:g} s; {seen}: {named}"
    if not waiting:
        return "continue", f"{seen}: nothing speaks against it, {settings.min - elapsed:.0f} s of the shortest bake are left"
    return "continue", f"{seen}: {named}"


def _judge_metric(metric: Json, settings: Settings, alpha: float, alone: bool, young: bool) -> Json:
    rows, broken = _usable(metric.get("rows"))
    name = str(metric.get("metric"))
    treatment = Arm(sum(row[1] for row in rows), sum(row[2] for row in rows))
    control = Arm(sum(row[3] for row in rows), sum(row[4] for row in rows))
    strata = [(row[1], row[3], row[2] + row[4], row[2]) for row in rows]
    offset = metric.get("offset", 1.0)
    if not _is_number(offset) or offset <= 0:
        offset, broken = 1.0, broken + 1
    tolerated = settings.tolerated_ratio * offset
    against = 0.0 if alone else sequential.log_odds_e_value(strata, tolerated, harmful=True)
    result: Json = {
        "feature": str(metric.get("feature")),
        "metric": name,
        "treatment": treatment.as_dict(),
        "control": None if alone else control.as_dict(),
        "e_value": _capped(against),
        "alpha": alpha,
        "first_bad": next((row[0] for row in rows if row[2] > 0), None),
    }

    def verdict(word: str, why: str, distance: float = 0.0) -> Json:
        return {**result, "verdict": word, "reason": f"{wording.arms(result)}: {why}", "why": why, "distance": distance}

    limit = settings.hard_share(name)
    if against >= math.log(1 / alpha):
        ratio = sequential.ratio_at_least(strata, alpha, tolerated)
        chance = f"the chance of saying so of a harmless release is under {wording.percent(settings.alpha)}"
        return verdict("abort", f"at least {ratio:.1f} times worse, {chance}")
    over = _over_hard_limit(rows, limit, alone)
    if over == "treatment":
        return verdict("abort", f"over the hard limit of {wording.percent(limit)} twice in a row")
    if metric.get("problem"):
        return verdict("hold", str(metric["problem"]))
    if broken:
        return verdict("hold", f"{broken} intervals were not seen or make no sense")
    if over == "both":
        return verdict("hold", f"both with and without the feature over the hard limit of {wording.percent(limit)}, so something else is wrong")
    if not rows:
        return verdict("continue", "no full interval yet") if young else verdict("hold", NO_DATA)
    if alone:
        return verdict(*_certify_alone(treatment, _arm(metric.get("before")), settings))
    word, why, distance = _certify(treatment, control, strata, settings, settings.margin * offset)
    if word == "promote" and against > math.log(SUSPICIOUS):
        return verdict("continue", f"{why}, but the figures speak for harm {math.exp(against):.1f} to 1", 1.0)
    return verdict(word, why, distance)


def _certify(treatment: Arm, control: Arm, strata: t.Sequence[sequential.Stratum], settings: Settings, margin: float) -> t.Tuple[str, str, float]:
    """("promote", why, how far) when harm is excluded, else ("continue", what is missing, how far); farther means less is known."""
    fewest = min(treatment.events, control.events)
    if fewest < settings.min_requests:
        there = f"there are {treatment.events} and {control.events}"
        return "continue", f"{settings.min_requests} requests are needed on each side, {there}", 2.0 - fewest / settings.min_requests
    bound, harmless = _harmless(treatment, settings)
    if harmless:
        return "promote", harmless, bound
    if _less_bad(strata, margin, settings):
        return "promote", f"less than {margin:.3g} times as bad ({_sure(settings)})", bound
    return "continue", f"no harm seen, but {wording.percent(bound)} and {margin:.3g} times as bad are still possible", bound


def _certify_alone(treatment: Arm, before: Arm, settings: Settings) -> t.Tuple[str, str, float]:
    """As _certify, where nobody is left without the feature: by the share alone, or against all users just before this stage.

    A comparison with an earlier time is no test of the feature, since other things change too: it can certify, never abort.
    """
    nobody = "nobody is left without the feature to compare with"
    if treatment.events < settings.min_requests:
        return (
            "continue",
            f"{settings.min_requests} requests are needed, there are {treatment.events}; {nobody}",
            2.0 - treatment.events / settings.min_requests,
        )
    bound, harmless = _harmless(treatment, settings)
    if harmless:
        return "promote", f"{harmless}; {nobody}", bound
    stratum = (treatment.events, before.events, treatment.bad + before.bad, treatment.bad)
    seen = f"before this stage it was {wording.share_of(before.as_dict())}" if before.events else "nothing is known of the time before"
    if before.events >= settings.min_requests and _less_bad([stratum], settings.margin, settings):
        return "promote", f"{seen}, so it is less than {settings.margin:.3g} times as bad ({_sure(settings)}); {nobody}", bound
    return "continue", f"it may still be {wording.percent(bound)}, where under {wording.percent(settings.harmless_share)} is harmless; {seen}; {nobody}", bound


def _harmless(treatment: Arm, settings: Settings) -> t.Tuple[float, str]:
    """(upper bound of the share of bad events, why that is harmless or "")."""
    bound = sequential.share_at_most(treatment.events, treatment.bad, settings.certify_each)
    limit = wording.percent(settings.harmless_share)
    return bound, f"under {wording.percent(bound)} ({_sure(settings)}), where under {limit} is harmless" if bound < settings.harmless_share else ""


def _less_bad(strata: t.Sequence[sequential.Stratum], margin: float, settings: Settings) -> bool:
    return sequential.log_odds_e_value(strata, margin, harmful=False) >= math.log(1 / settings.certify_each)


def _sure(settings: Settings) -> str:
    return f"{wording.percent(1 - settings.certify_each)} sure"


def _over_hard_limit(rows: t.Sequence[t.Sequence[int]], limit: float, alone: bool) -> t.Optional[str]:
    """ "treatment" when its share was over the limit in two blocks in a row while the control's was not; "both" when the latest blocks
    have the control over it too. A block is as many intervals in a row as it takes to have enough requests in the treatment."""
    blocks: t.List[t.Tuple[bool, bool]] = []
    sums = [0, 0, 0, 0]
    for row in rows:
        sums = [total + count for total, count in zip(sums, row[1:])]
        if sums[0] >= ENOUGH:
            shared = not alone and sums[2] > 0 and sums[3] > limit * sums[2]
            blocks.append((sums[1] > limit * sums[0], shared))
            sums = [0, 0, 0, 0]
    for (bad, shared), (bad_next, shared_next) in zip(blocks, blocks[1:]):
        if bad and bad_next and not shared and not shared_next:
            return "treatment"
    return "both" if any(shared for _bad, shared in blocks[-2:]) else None


def _arm(value: t.Any) -> Arm:
    """An arm from a record; an empty one when it makes no sense."""
    events, bad = (value.get("events"), value.get("bad")) if isinstance(value, dict) else (None, None)
    if _is_count(events) and _is_count(bad) and int(bad or 0) <= int(events or 0):
        return Arm(int(events or 0), int(bad or 0))
    return Arm()


def _usable(rows: t.Any) -> t.Tuple[t.List[t.List[int]], int]:
    """(rows that make sense, how many do not): five finite numbers, none negative, no more bad ones than requests."""
    good: t.List[t.List[int]] = []
    broken = 0
    for row in _list(rows):
        if isinstance(row, (list, tuple)) and len(row) == 5 and all(_is_count(value) for value in row[1:]) and _is_number(row[0]):
            whole = [row[0], *(int(value) for value in row[1:])]
            if whole[2] <= whole[1] and whole[4] <= whole[3]:
                good.append(whole)
                continue
        broken += 1
    return good, broken


def _list(value: t.Any) -> t.Sequence[t.Any]:
    return value if isinstance(value, (list, tuple)) else []


def _is_number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: t.Any) -> bool:
    return _is_number(value) and 0 <= value < 2**53


def _number(value: t.Any) -> float:
    return float(value) if _is_number(value) else 0.0


def _capped(logarithm: float) -> float:
    return float(f"{min(math.exp(min(logarithm, 30.0)), CAP):.6g}")
