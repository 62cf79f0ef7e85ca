# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""All outcomes of a comparison of two arms, for tests by exact enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

Strata = list[tuple[int, int, int]]
"""(events of the treatment, events of the control, bad events of both) of each interval."""
Table = tuple[int, int, int, int]


def splits(strata: Strata, ratio: float) -> Iterator[tuple[list[Table], float]]:
    """Every way in which the bad events can fall on the arms, with its chance: binomial in each interval."""
    for fallen in itertools.product(*[range(bad + 1) for _events, _control, bad in strata]):
        chance, table = 1.0, []
        for (events, control, bad), here in zip(strata, fallen, strict=True):
            share = ratio * events / (ratio * events + control)
            chance *= math.comb(bad, here) * share**here * (1 - share) ** (bad - here)
            table.append((events, here, control, bad - here))
        yield table, chance
