# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One metric of one feature through a stage: intervals in, verdict out. What its evidence means is in
stats/sequential_test.py."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common import text
from ansible_collections.gradual.rollout.plugins.module_utils.gate import sentences
from ansible_collections.gradual.rollout.plugins.module_utils.gate.seen import (
    ENOUGH,
    RECENT,
    Row,
    Seen,
    sensible,
    turned,
    usable,
)
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.module_utils.stats import sequential_test, share_bound
from ansible_collections.gradual.rollout.plugins.module_utils.stats.sample_ratio import SampleRatio

# An e-value from which on nothing is certified: little harm is no reason to go on while it looks like harm.
SUSPICIOUS = math.log(3.0)
# Intervals in a row that were not seen before that is "no data".
UNSEEN = 3
# How many times as bad as in the A/A stage the control may be in the RECENT intervals before something hits everybody.
SHARED_FATE = 3.0
NO_DATA = "no data"
CAP = 1e12

Json = t.Dict[str, t.Any]


class MetricGate:
    """The gate of one metric in one stage; rows are added to `seen`, and `judge` may be asked after each.

    `head` is the metric as in the counts of a look; `alpha` its part of the chance of a false stop in this stage;
    `earlier` the summary of the rows before those that are added.
    """

    def __init__(
        self,
        head: t.Mapping[str, t.Any],
        settings: Settings,
        alpha: float,
        percent: float,
        alone: bool = False,
        earlier: t.Optional[t.Mapping[str, t.Any]] = None,
    ) -> None:
        self.feature, self.name, self.kind = (
            str(head.get("feature")),
            str(head.get("metric")),
            str(head.get("kind") or head.get("metric")),
        )
        self.fewer, self.signal = head.get("harm") == "fewer", head.get("role") == "signal"
        self.settings, self.alpha, self.alone = settings, alpha, alone
        aa, broken = usable(head.get("aa"))
        self.broken_aa = sum(broken)
        self.calibration = sequential_test.Calibration([self._turned(row) for _at, row in aa])
        self.sample_ratio = SampleRatio([row for _at, row in aa], percent)
        self.usual = sum(row[3] for _at, row in aa), sum(row[2] for _at, row in aa)
        self.before = head.get("before")
        self.problem = head.get("problem")
        self.seen = Seen(self.fewer, earlier)

    @property
    def tally(self) -> sequential_test.Tally:
        return self.seen.tally

    def _turned(self, row: Row) -> Row:
        return turned(row, self.fewer)

    def log_e_value(self) -> float:
        """log of the e-value against "harmless within the tolerated ratio"; 0 where nobody is left to compare with."""
        return 0.0 if self.alone else sequential_test.harm(self.tally, self.calibration, self.settings.tolerated_ratio)

    def harm_is_shown(self) -> bool:
        """Whether the metric is harmed at its part of alpha."""
        wanted = math.log(1 / self.alpha)
        tolerated = self.settings.tolerated_ratio
        if self.alone or not sequential_test.may_be_harm(self.tally, self.calibration, tolerated):
            return False
        return self.log_e_value() >= wanted

    def judge(self, young: bool = False, full: bool = True) -> Json:
        """Verdict, reason and what they rest on. `young`: the stage has just begun, so that no interval yet is no "no
        data".

        Without `full`, e-values that cannot change the verdict are left out of the computation, and of the result.
        """
        harmed = self.harm_is_shown()
        verdict, why, distance = self._decide(harmed, young)
        if self.signal and verdict == "abort":
            verdict, why = "hold", f"{why}; a signal only, so a person must look"
        total = self._totals()
        told: Json = {
            "feature": self.feature,
            "metric": self.name,
            "fewer": self.fewer,
            "treatment": {"events": int(total[0]), "bad": int(total[1])},
            "control": None if self.alone else {"events": int(total[2]), "bad": int(total[3])},
            "alpha": self.alpha,
            "verdict": verdict,
            "why": why,
            "distance": distance,
            "first_bad": self.seen.first_bad,
        }
        if full:
            told.update(
                e_value=capped(self.log_e_value()),
                offset=round(self.calibration.offset, 4),
                spread=round(self.calibration.spread, 3),
                share_expected=None if self.alone else round(self.sample_ratio.expected, 4),
            )
        return {**told, "reason": f"{sentences.arms(told)}: {why}"}

    def _totals(self) -> Row:
        total = self.tally.between(0, len(self.tally))
        return self._turned((total.events, total.bad, total.control_events, total.control_bad))

    def _decide(self, harmed: bool, young: bool) -> t.Tuple[str, str, float]:
        """(verdict, why, how far from a decision: farther means less is known). The order is the order of what
        matters."""
        settings = self.settings
        if harmed:
            chance = f"the chance of saying so of a harmless release is under {text.percent(settings.alpha)}"
            return "abort", f"at least {self._at_least():.1f} times {'fewer' if self.fewer else 'worse'}, {chance}", 0.0
        having, lacking, causes = sentences.arms_of(self.feature)
        over = self._over_hard_limit()
        limit = text.percent(settings.hard_share(self.kind) or 0.0)
        if over == "treatment" and not self.alone:
            return "abort", f"over the hard limit of {limit} twice in a row", 0.0
        if self.problem:
            return "hold", str(self.problem), 0.0
        broken = self.broken_aa + self.seen.broken
        if broken:
            return "hold", f"{broken} {'interval has' if broken == 1 else 'intervals have'} invalid counts", 0.0
        if over == "treatment":
            return (
                "hold",
                f"over the hard limit of {limit}; nobody is left without the feature, so it may be something else",
                0.0,
            )
        if over == "both":
            return (
                "hold",
                f"those {lacking} are near the hard limit of {limit} or over it too, so something else is wrong",
                0.0,
            )
        if self.seen.unseen >= UNSEEN:
            return "hold", f"the newest {self.seen.unseen} intervals were not seen", 0.0
        if not len(self.tally):
            return ("continue", "no full interval yet", 3.0) if young else ("hold", NO_DATA, 3.0)
        if not self.alone and self._shared_fate():
            return (
                "hold",
                (
                    f"those {lacking} have {SHARED_FATE:g} times as many as in the A/A stage or more, so something else"
                    " is wrong"
                ),
                0.0,
            )
        total = self._totals()
        if not self.alone and self.sample_ratio.log_e_value(total[0], total[2]) >= -math.log(
            settings.sample_ratio_alpha
        ):
            part = text.percent(total[0] / (total[0] + total[2]))
            wanted = text.percent(self.sample_ratio.expected)
            return "hold", f"{part} of the requests are {having} where {wanted} should be: {causes}", 0.0
        return self._certify_alone() if self.alone else self._certify()

    def _at_least(self) -> float:
        """The largest ratio that is still rejected as too small at this alpha."""
        low, high = math.log(self.settings.tolerated_ratio), math.log(1000.0)
        for _step in range(14):
            middle = (low + high) / 2
            if sequential_test.harm(self.tally, self.calibration, math.exp(middle)) >= math.log(1 / self.alpha):
                low = middle
            else:
                high = middle
        return math.exp(low)

    def _over_hard_limit(self) -> t.Optional[str]:
        """ "treatment" when its share was over the limit in the latest two blocks while the control's was under half of
        it, since what hits everybody hits the arms about alike, not exactly; "both" when in one of them the control was
        over that, or over the limit itself. A block is as many intervals in a row as it takes to have enough requests
        in the treatment."""
        limit = self.settings.hard_share(self.kind)
        blocks: t.List[t.Tuple[bool, bool]] = []
        sums = [0.0, 0.0, 0.0, 0.0]
        for row in reversed(self.seen.latest):
            sums = [total + count for total, count in zip(sums, row)]
            if sums[0] >= ENOUGH and limit is not None:
                over = sums[1] > limit * sums[0]
                shared = not self.alone and sums[2] > 0 and sums[3] > (limit / 2 if over else limit) * sums[2]
                blocks.append((over, shared))
                sums = [0.0, 0.0, 0.0, 0.0]
            if len(blocks) == 2:
                break
        if any(shared for _over, shared in blocks):
            return "both"
        return "treatment" if len(blocks) == 2 and all(over for over, _shared in blocks) else None

    def _shared_fate(self) -> bool:
        """Whether the control is far worse now than it was in the A/A stage."""
        bad, events = self.usual
        recent = self.seen.latest[-RECENT:]
        now_events, now_bad = sum(row[2] for row in recent), sum(row[3] for row in recent)
        if (
            self.kind == "counter"
            or not events
            or now_events < ENOUGH
            or now_bad < 5
            or now_bad * events < SHARED_FATE * bad * now_events
        ):
            return False
        comparison = sequential_test.Comparison(
            sequential_test.Tally([(now_events, now_bad, events, bad)]), sequential_test.Calibration()
        )
        return comparison.harm(SHARED_FATE).alone >= math.log(20.0)

    def _certify(self) -> t.Tuple[str, str, float]:
        """("promote", why, how far) when harm is excluded, else ("continue", what is missing, how far)."""
        settings, total = self.settings, self._totals()
        fewest = min(total[0], total[2])
        if fewest < settings.min_requests:
            there = f"there are {total[0]:.0f} and {total[2]:.0f}"
            return (
                "continue",
                f"{settings.min_requests} requests are needed on each side, {there}",
                2.0 - fewest / settings.min_requests,
            )
        wanted = -math.log(settings.certify_each)
        comparison = sequential_test.Comparison(self.tally, self.calibration)
        margin = f"{settings.margin:.3g} times as {'few' if self.fewer else 'bad'}"
        bound, harmless = self._harmless(total)
        if not harmless and comparison.is_harmless(settings.margin, wanted):
            harmless = f"less than {margin} ({self._sure()})"
        if not harmless:
            return "continue", f"no harm shown, but {margin} is still possible", 1.0 + bound
        if (
            sequential_test.may_be_harm(self.tally, self.calibration, settings.tolerated_ratio)
            and self.log_e_value() > SUSPICIOUS
        ):
            return "continue", f"{harmless}, but the figures speak for harm {capped(self.log_e_value()):.1f} to 1", 1.0
        return "promote", harmless, bound

    def _certify_alone(self) -> t.Tuple[str, str, float]:
        """As _certify, where nobody is left without the feature: by the share alone, or against all users just before
        this stage.

        A comparison with an earlier time is no test of the feature, since other things change too: it can certify,
        never abort.
        """
        settings, total = self.settings, self._totals()
        nobody = "nobody is left without the feature to compare with"
        if total[0] < settings.min_requests:
            return (
                "continue",
                f"{settings.min_requests} requests are needed, there are {total[0]:.0f}; {nobody}",
                2.0 - total[0] / settings.min_requests,
            )
        bound, harmless = self._harmless(total)
        if harmless:
            return "promote", f"{harmless}; {nobody}", bound
        before = self.before if isinstance(self.before, dict) else {}
        earlier = sensible([0, before.get("events"), before.get("bad"), 0, 0])
        if earlier is None or not earlier[0]:
            return "continue", f"nothing is known of the time before; {nobody}", 1.0 + bound
        seen = f"before this stage it was {sentences.share_of({'events': int(earlier[0]), 'bad': int(earlier[1])})}"
        comparison = sequential_test.Comparison(
            sequential_test.Tally([self._turned((total[0], total[1], *earlier[:2]))]), sequential_test.Calibration()
        )
        margin = f"{settings.margin:.3g} times as {'few' if self.fewer else 'bad'}"
        if earlier[0] >= settings.min_requests and comparison.harmless(settings.margin).alone >= -math.log(
            settings.certify_each
        ):
            return "promote", f"{seen}, so it is less than {margin} ({self._sure()}); {nobody}", bound
        return "continue", f"{margin} is still possible; {seen}; {nobody}", 1.0 + bound

    def _harmless(self, total: Row) -> t.Tuple[float, str]:
        """(upper bound of the share of bad events, why that is harmless or ""): the declared low-traffic policy, which
        compares nothing."""
        limit = self.settings.harmless_share
        if not limit or self.kind == "counter":
            return 0.0, ""
        bound = share_bound.share_at_most(int(total[0]), int(total[1]), self.settings.certify_each)
        told = f"under {text.percent(bound)} ({self._sure()}), where under {text.percent(limit)} is declared harmless"
        return bound, told if bound < limit else ""

    def _sure(self) -> str:
        return f"{text.percent(1 - self.settings.certify_each)} sure"


def capped(logarithm: float) -> float:
    """The e-value itself, for people and JSON."""
    return float(f"{min(math.exp(max(-700.0, min(logarithm, 30.0))), CAP):.6g}")
