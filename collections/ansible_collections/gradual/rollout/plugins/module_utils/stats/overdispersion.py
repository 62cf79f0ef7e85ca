# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""How much more counts vary between intervals than independent events would: clusters of errors, users who come and go,
waves.

Pearson's chi-squared statistic over its degrees of freedom (McCullagh and Nelder, Generalized Linear Models, 1989,
section 4.5), on intervals and on blocks of 2, 4, 8, ... of them, since what lasts longer than an interval shows in
blocks only. Of each, what chance alone exceeds in one case of ten is divided out, and the largest counts.
"""

from __future__ import annotations

import math
import operator
import typing as t

Row = t.Sequence[float]
"""(events, bad, control events, control bad) of an interval."""
Columns = t.Sequence[t.Sequence[float]]

FEWEST_BLOCKS = 6
# What clusters shows in blocks too, so more of them than this only take time.
MOST_BLOCKS = 300
# The standard normal deviate that is exceeded in one case of ten.
ONE_IN_TEN = 1.2816


def of_ratio(rows: t.Sequence[Row]) -> float:
    """The spread of the treatment's part of the bad events, 1.0 or more: 2.0 when it varies as if each bad event came
    twice."""

    def statistic(columns: Columns) -> t.Tuple[float, int]:
        events, bad, control_events, control_bad = map(sum, columns)
        if not (bad and control_bad and events and control_events):
            return 0.0, 0
        ratio = (bad / events) / (control_bad / control_events)
        found, used = 0.0, 0
        for here, here_bad, others, others_bad in zip(*columns):
            both = here_bad + others_bad
            if both and here and others:
                weighed = ratio * here
                whole = weighed + others
                # Not chance * (1 - chance), which is 0 where one arm is all but everything.
                found += (here_bad - both * weighed / whole) ** 2 / (both * (weighed / whole) * (others / whole))
                used += 1
        return found, used - 1

    return _largest(list(zip(*rows)), statistic)


def of_level(rows: t.Sequence[Row]) -> float:
    """The spread of the share of bad events of both arms together, 1.0 or more."""

    def statistic(columns: Columns) -> t.Tuple[float, int]:
        all_events, all_bad = (
            list(map(operator.add, columns[0], columns[2])),
            list(map(operator.add, columns[1], columns[3])),
        )
        events, bad = sum(all_events), sum(all_bad)
        if not bad or bad >= events:
            return 0.0, 0
        share, good, found, used = bad / events, (events - bad) / events, 0.0, 0
        for here, here_bad in zip(all_events, all_bad):
            if here:
                found += (here_bad - share * here) ** 2 / here
                used += 1
        return found / (share * good), used - 1

    return _largest(list(zip(*rows)), statistic)


def _largest(columns: Columns, statistic: t.Callable[[Columns], t.Tuple[float, int]]) -> float:
    spread = 1.0
    while columns and len(columns[0]) >= FEWEST_BLOCKS:
        found, freedom = statistic(columns) if len(columns[0]) <= MOST_BLOCKS else (0.0, 0)
        if freedom >= FEWEST_BLOCKS - 1:
            spread = max(spread, found / _exceeded_by_chance(freedom))
        columns = [list(map(operator.add, column[0::2], column[1::2])) for column in columns]
    return spread


def _exceeded_by_chance(freedom: int) -> float:
    """The 90 % quantile of chi-squared (Wilson and Hilferty, PNAS 17, 1931)."""
    part = 2.0 / (9.0 * freedom)
    return float(freedom * (1 - part + ONE_IN_TEN * math.sqrt(part)) ** 3)
