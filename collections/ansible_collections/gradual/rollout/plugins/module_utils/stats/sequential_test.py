# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What the counts of two arms say for or against harm, as e-values: an e-value exceeds 1/alpha with a chance of at most
alpha when its null hypothesis holds, over all looks together (Ville's inequality), so one may look whenever one likes.

The model: bad events are Poisson. In the control their rate is p for each event, in the treatment p times an offset
(how the two arms differ by nature) times the ratio (what the feature does). The nulls are `ratio <= tolerated` for harm
and `ratio >= margin` for certifying; the e-value is the likelihood averaged over alternatives, divided by the
likelihood at the edge of the null.

- p is never assumed. Compared *alone*, the arms of each stratum share it, whatever it is (Turner and Grunwald, Safe
  Sequential Testing and Effect Estimation in Stratified Count Data, 2023; the Poisson limit of their conditional test:
  with the total given, the bad events of the treatment are binomial). Compared *with history*, what the A/A stage saw
  of p is a prior for it that is given up where it does not fit: a mixture of gamma priors from "as it was" to
  "anything" (Schmidli and others, Robust Meta-Analytic-Predictive Priors in Clinical Trials with Historical Control
  Information, Biometrics 70, 2014).
- The offset is what the A/A stage says of it: 1 with a prior chance of nine in ten, else log-normal, weighed by the A/A
  stage's counts.
- Events that come in clusters count for less: all counts are divided by the spread that the A/A stage had
  (quasi-likelihood;
  McCullagh and Nelder, Generalized Linear Models, 1989, chapter 9).

docs/gates-statistics.md derives it, and says when it is not valid. Only the standard library; Python 3.9.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.stats import overdispersion
from ansible_collections.gradual.rollout.plugins.module_utils.stats.overdispersion import Row

# The base rate may have changed since the A/A stage: (share of the prior, how many bad events the A/A stage counts for
# at most).
BASE_RATES = ((0.86, math.inf), (0.02, 20.0), (0.03, 4.0), (0.04, 1.0), (0.05, 0.05))
# Arms dealt by a hash are alike but for heavy users: chance that the offset is exactly 1, and the standard deviation of
# its logarithm else.
ALIKE, OFFSET_SPREAD = 0.9, 0.6
NODES, REACH = 9, 4.0
STRATA = 8
# Harm may begin late: of the chance of a false stop a part is kept for comparisons that begin after so many intervals.
FROM_THE_START = 0.95
LATE_STARTS = tuple((16 * 2**k, (1 - FROM_THE_START) / 2 ** (k + 1)) for k in range(12))
LATEST = 2

Rows = t.Sequence[Row]
Ratios = t.Sequence[t.Tuple[float, float]]
Levels = t.List[t.Tuple[float, float, float]]


@dataclasses.dataclass(frozen=True)
class Alternative:
    """What is weighed against a null hypothesis.

    ratios: multiples of the edge of the null, with their prior weights.
    ratios_alone: those of the e-value that the stage alone must give before history may tip the scales. A mixture costs
        up to log(1 / weight of the true ratio), a ratio that is near and not true a part of the growth (Grunwald, de
        Heide and Koolen, Safe Testing, 2024). Where little has to be said, fewer ratios say it sooner.
    alone: the log of that e-value. Whatever history says, a harmless release is stopped with a chance of exp(-alone) at
        most.
    """

    ratios: Ratios
    ratios_alone: Ratios
    alone: float


# At a tolerated ratio of 1.25: 2, 2.2, 3 and 10 times as bad, and alone 2.2 and 6 times. Two are near the least harm:
# in a long stage, harm that no ratio fits looks like an offset. At a margin of 2: as bad, a quarter worse, half as bad.
HARMFUL = Alternative(((1.6, 0.20), (1.76, 0.20), (2.4, 0.34), (8.0, 0.26)), ((1.76, 0.6), (4.8, 0.4)), math.log(4.0))
_BETTER = ((0.5, 0.55), (0.65, 0.30), (0.3, 0.15))
HARMLESS = Alternative(_BETTER, _BETTER, math.log(6.0))


@dataclasses.dataclass(frozen=True)
class Totals:
    """Events and bad events of both arms; whole numbers, or parts of them once they were divided by a spread."""

    events: float = 0.0
    bad: float = 0.0
    control_events: float = 0.0
    control_bad: float = 0.0

    @property
    def all_bad(self) -> float:
        return self.bad + self.control_bad

    @property
    def all_events(self) -> float:
        return self.events + self.control_events


class Tally:
    """Rows of (events, bad, control events, control bad), finite and none negative, summed up as they come; `summary`
    is that of the rows before them."""

    def __init__(self, rows: Rows = (), summary: Rows = ()) -> None:
        *early, (self._first, *begun) = summary or [(0, 0, 0, 0, 0)]
        self._early = {place: sums for place, *sums in early}
        columns = zip(*rows) if rows else ((), (), (), ())
        self._sums = [list(itertools.accumulate(column, initial=start)) for column, start in zip(columns, begun)]

    def __len__(self) -> int:
        return int(self._first) + len(self._sums[0]) - 1

    def append(self, row: Row) -> None:
        for sums, value in zip(self._sums, row):
            sums.append(sums[-1] + value)

    def extend(self, rows: Rows) -> None:
        for sums, column in zip(self._sums, zip(*rows)):
            sums.extend(itertools.accumulate(column, initial=sums.pop()))

    def between(self, start: int, end: int, divisor: float = 1.0) -> Totals:
        """Totals of the rows from number `start` to before number `end`, divided by `divisor`."""
        return Totals(*[(later - sooner) / divisor for sooner, later in zip(self._before(start), self._before(end))])

    def summary(self) -> t.List[t.List[float]]:
        """[row number, sums of all rows before it], for each row at which a comparison of these rows and any that
        follow begins or is split: at most (LATEST + 1) * (STRATA + 1), however many rows there are."""
        length = len(self)
        places = {length, *(place for start in _starts(length) for place in _splits(start, length))}
        return [[place, *self._before(place)] for place in sorted(places)]

    def _before(self, place: int) -> t.Sequence[float]:
        """The sums of the rows before number `place`."""
        if place < self._first:
            return self._early[place]
        return [sums[place - int(self._first)] for sums in self._sums]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Natural logarithms of two e-values: with the history of the A/A stage, and of the stage alone; and whether the
    stage alone says enough for history to count."""

    with_history: float
    alone: float
    agreed: bool

    @property
    def log_e(self) -> float:
        """What counts: history may speed a verdict up, it never makes one. Where the stage alone says too little, it is
        what the stage says."""
        return self.with_history if self.agreed else min(self.with_history, self.alone)


class Calibration:
    """What the A/A stage says: how the arms differ by nature, what the base rate was, and how much counts vary between
    intervals.

    Without any rows the arms are taken to be alike and there is no history.
    """

    def __init__(self, aa: Rows = ()) -> None:
        tally = Tally(aa)
        self.spread = overdispersion.of_ratio(aa)
        self.totals = tally.between(0, len(tally), self.spread)
        self.offsets = _offsets(self.totals)
        self.history = self.totals.all_bad / max(1.0, overdispersion.of_level(aa) / self.spread)

    @property
    def offset(self) -> float:
        """How many times as bad the treatment was, as far as the A/A stage says so."""
        return math.exp(sum(weight * log_offset for weight, log_offset in self.offsets))


def harm(tally: Tally, calibration: Calibration, tolerated: float) -> float:
    """log of the e-value against "the feature has made it at most `tolerated` times as bad", from the start or from one
    of the late starts on.

    Never above the true one: starts that cannot matter are left out.
    """
    found = []
    for start, weight in _starts(len(tally)).items():
        comparison = Comparison(tally, calibration, start)
        if comparison.may_be_harm(tolerated) or not start:
            found.append(math.log(weight) + comparison.harm(tolerated).log_e)
    return log_sum(found)


def may_be_harm(tally: Tally, calibration: Calibration, tolerated: float) -> bool:
    """False when `harm` cannot reach log 12, which is quicker to see."""
    return any(Comparison(tally, calibration, start).may_be_harm(tolerated) for start in _starts(len(tally)))


def _starts(length: int) -> t.Dict[int, float]:
    """{row number from which on the arms are compared: its part of the chance of a false stop}."""
    return {0: FROM_THE_START, **dict([each for each in LATE_STARTS if each[0] < length][-LATEST:])}


def _splits(start: int, end: int) -> range:
    """Where the parts in time begin: STRATA of them at most. With more rows some of them are joined, so each is the
    begin of a part of fewer rows too."""
    size = 1
    while size * STRATA < end - start:
        size *= 2
    return range(start, end, size)


class Comparison:
    """The two arms of one metric, from row number `start` on."""

    def __init__(self, tally: Tally, calibration: Calibration, start: int = 0) -> None:
        self.calibration = calibration
        self.now = tally.between(start, len(tally), calibration.spread)
        self._tally, self._start = tally, start
        self._strata: t.Optional[t.List[Totals]] = None
        self._priors: t.Optional[t.List[t.Tuple[float, float, Levels]]] = None

    def harm(self, tolerated: float) -> Evidence:
        """Against "the feature makes it at most `tolerated` times as bad"."""
        return self._against(tolerated, HARMFUL)

    def harmless(self, margin: float) -> Evidence:
        """Against "the feature makes it `margin` times as bad, or worse"."""
        return self._against(margin, HARMLESS)

    def may_be_harm(self, tolerated: float) -> bool:
        """False when no alternative can be twelve times as likely as the null."""
        now = self.now
        expected = tolerated * min(1.0, self.calibration.offset) * min(self._base_rates()) * now.events
        return now.bad > expected + 1.5 * math.sqrt(expected) if expected else now.bad > 0

    def may_be_harmless(self, margin: float, log_wanted: float) -> bool:
        """False when the bad events are too few, or too many of them in the treatment, to say so."""
        now, multiple = self.now, margin * max(1.0, self.calibration.offset)
        if not now.all_bad or not now.events or not now.control_events:
            return False
        whole = multiple * now.events + now.control_events
        edge, seen = multiple * now.events / whole, now.bad / now.all_bad
        if seen >= edge:
            return False
        llr = (now.bad * math.log(seen / edge) if now.bad else 0.0) + now.control_bad * math.log(
            now.control_bad / now.all_bad * (whole / now.control_events)
        )
        return llr >= 0.9 * log_wanted

    def _base_rates(self) -> t.List[float]:
        """Shares of bad events without the feature: now, and in the A/A stage."""
        before = self.calibration.totals
        arms = [(self.now.control_bad, self.now.control_events), (before.all_bad, before.all_events)]
        return [bad / events for bad, events in arms if events] or [0.0]

    def is_harmless(self, margin: float, log_wanted: float) -> bool:
        """Whether the e-value against harm of `margin` is as large as wanted; asks the history only where the stage
        alone says enough."""
        if not self.may_be_harmless(margin, log_wanted):
            return False
        alone = self._ratio(self._alone, margin, HARMLESS.ratios_alone)
        return alone >= min(HARMLESS.alone, log_wanted) and self.harmless(margin).log_e >= log_wanted

    def _against(self, edge: float, alternative: Alternative) -> Evidence:
        return Evidence(
            self._ratio(self._with_history, edge, alternative.ratios),
            self._ratio(self._alone, edge, alternative.ratios),
            self._ratio(self._alone, edge, alternative.ratios_alone) >= alternative.alone,
        )

    def _ratio(self, likelihood: t.Callable[[float], float], edge: float, ratios: Ratios) -> float:
        return log_sum([math.log(weight) + likelihood(edge * multiple) for multiple, weight in ratios]) - likelihood(
            edge
        )

    def _split(self) -> t.List[Totals]:
        """At most STRATA parts in time, those with bad events; within one the arms' parts of the traffic hardly
        change."""
        end = len(self._tally)
        splits = _splits(self._start, end)
        parts = (self._tally.between(first, min(first + splits.step, end), self.calibration.spread) for first in splits)
        return [part for part in parts if part.all_bad]

    def _alone(self, ratio: float) -> float:
        """log of the likelihood of the stage at a ratio, given the bad events of each stratum, averaged over the
        offset."""
        if self._strata is None:
            self._strata = self._split()
        found = []
        for weight, log_offset in self.calibration.offsets:
            multiple = ratio * math.exp(log_offset)
            split = sum(
                stratum.all_bad * math.log(stratum.control_events + multiple * stratum.events)
                for stratum in self._strata
            )
            found.append(math.log(weight) + self.now.bad * math.log(multiple) - split)
        return log_sum(found)

    def _with_history(self, ratio: float) -> float:
        """As `_alone`, averaged over the base rate; without a history it is that."""
        if not self.calibration.history:
            return self._alone(ratio)
        if self._priors is None:
            self._priors = [
                (math.log(weight), math.exp(log_offset), self._levels(math.exp(log_offset)))
                for weight, log_offset in self.calibration.offsets
            ]
        found = []
        for log_weight, offset, levels in self._priors:
            exposure = self.now.control_events + ratio * offset * self.now.events
            level = log_sum([log - power * math.log(rate + exposure) for log, power, rate in levels])
            found.append(log_weight + self.now.bad * math.log(ratio * offset) + level)
        return log_sum(found)

    def _levels(self, offset: float) -> Levels:
        """The chance of so many bad events in all, averaged over the base rate, in parts (log, power, rate): it is the
        sum of exp(log) / (rate + exposure)**power at an exposure in events of the control."""
        seen, history, before = self.now.all_bad, self.calibration.history, self.calibration.totals
        scale = (before.control_events + offset * before.events) / (before.all_bad + 0.5)
        parts = []
        for weight, most in BASE_RATES:
            shape = min(history + 0.5, most)
            log = math.log(weight) + math.lgamma(shape + seen) - math.lgamma(shape) + shape * math.log(shape * scale)
            parts.append((log, shape + seen, shape * scale))
        return parts


def _offsets(aa: Totals) -> t.List[t.Tuple[float, float]]:
    """[(posterior chance, log of the offset)], the chances summing up to 1: exactly alike, and nodes around the mode of
    the rest."""
    if not aa.events or not aa.control_events:
        return [(1.0, 0.0)]

    def log_likelihood(log_offset: float) -> float:
        return aa.bad * log_offset - aa.all_bad * math.log(math.exp(log_offset) * aa.events + aa.control_events)

    mode, curvature = 0.0, 1.0
    for _step in range(30):
        share = math.exp(mode) * aa.events / (math.exp(mode) * aa.events + aa.control_events)
        curvature = aa.all_bad * share * (1 - share) + OFFSET_SPREAD**-2
        step = (aa.bad - aa.all_bad * share - mode * OFFSET_SPREAD**-2) / curvature
        mode += max(-1.0, min(1.0, step))
        if abs(step) < 1e-9:
            break
    deviation = curvature**-0.5
    found = [(math.log(ALIKE) + log_likelihood(0.0), 0.0)]
    width = 2 * REACH / (NODES - 1)
    for k in range(NODES):
        log_offset = mode + deviation * (k * width - REACH)
        prior = -(log_offset**2) / (2 * OFFSET_SPREAD**2) - math.log(OFFSET_SPREAD * math.sqrt(2 * math.pi))
        found.append((math.log((1 - ALIKE) * width * deviation) + prior + log_likelihood(log_offset), log_offset))
    whole = log_sum([weight for weight, _offset in found])
    return [(math.exp(weight - whole), log_offset) for weight, log_offset in found if weight - whole > -30]


def log_sum(values: t.Sequence[float]) -> float:
    """log of the sum of exponentials of at least one finite value."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))
