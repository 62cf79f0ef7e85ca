# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What counters grew by in each interval, over all processes that are scraped. Pure and fast: 120,000 samples in a few
hundredths of a second.

All samples of one scrape have the same time, so a process is a list of times and its counters are lists of values
beside it: the work for each time is done once for a process, and what is left for each counter is done on whole lists.
What a counter grew by in an interval is its value at the last scrape of this interval less that at the last scrape of
the one before: a step belongs where it ends.

The rules where samples are missing:
  a scrape failed    the step from the one before it to the one after counts where it ends
  more of them       the step mixes too many intervals and is left out, for all counters of that process at once, so for
                     both arms alike
  a process restarts its counters begin anew at 0 and have grown by their whole new value; what it counted between the
  last scrape and
                     its end is lost
  a series is born   in the middle of the time: it was at 0 before
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import operator
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Series, resets

# A step from one sample to the next may last so many intervals: one failed scrape, and scrapes that are not quite on
# time.
LONGEST_STEP = 2.5

Key = t.Tuple[str, ...]
Table = t.Mapping[Key, t.Sequence[Series]]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Intervals of `seconds`, counted from `since` on: `length` of them from number `first` on; `longest` is how long a
    step may last in seconds."""

    since: float
    seconds: float
    length: int
    longest: float
    first: int = 0

    def start(self, index: int) -> float:
        """When interval number `index` of this grid begins; `length` is its end."""
        return self.since + (self.first + index) * self.seconds


class Target:
    """One scraped process: the host it runs on, when it was scraped, and its series by a key that says what they count.

    `anew` are the times at which its counters began anew; found in the series themselves if left out.
    """

    def __init__(self, host: str, table: Table, anew: t.Optional[t.Iterable[float]] = None) -> None:
        self.host = host
        self.table = table
        every = [each for series in table.values() for each in series]
        longest = max((each.times for each in every), key=len, default=[])
        odd = [each for each in every if each.times != longest]
        self.times = sorted(set(longest).union(*(each.times for each in odd))) if odd else longest
        self._odd = set(map(id, odd)) if len(self.times) == len(longest) else set(map(id, every))
        self.anew = sorted(resets(every) if anew is None else anew)
        self._places = sorted({bisect.bisect_left(self.times, at) for at in self.anew} - {0, len(self.times)})

    def select(self, keys: t.Iterable[Key]) -> t.List[Series]:
        return [each for key in keys for each in self.table.get(key, ())]

    def readable(self, keys: t.Sequence[Key]) -> Target:
        """The same without scrapes in which one of these counters was no number, and with these counters only; itself
        if all were numbers."""
        broken = {at for each in self.select(keys) for at in each.unusable}
        if not broken.intersection(self.times if broken else ()):
            return self
        return Target(
            self.host, {key: [each.without(broken) for each in self.table.get(key, ())] for key in keys}, self.anew
        )

    def risen(self, keys: t.Iterable[Key], breaks: t.Sequence[int]) -> t.Optional[t.List[float]]:
        """The sum of these counters at each time, as if they had never begun anew, nor grown in the steps `breaks`;
        None if there is none."""
        found = self.select(keys)
        if not found or not self.times:
            return None
        total = self._values(found[0])
        for each in found[1:]:
            total = list(map(operator.add, total, self._values(each)))
        if not self._places and not breaks:
            return total
        grown = list(map(operator.sub, total[1:], total))
        for place in self._places:
            grown[place - 1] = total[place]
        for place in breaks:
            grown[place] = 0.0
        return list(itertools.accumulate(grown, initial=0.0))

    def _values(self, series: Series) -> t.List[float]:
        """The counter at each time of this process: as before where it was not sampled, 0 before its birth and after a
        restart."""
        if id(series) not in self._odd:
            return series.values
        known, restarts, last, result = dict(zip(series.times, series.values)), set(self._places), 0.0, []
        for place, at in enumerate(self.times):
            last = known.get(at, 0.0 if place in restarts else last)
            result.append(last)
        return result

    def placed(self, grid: Grid) -> Placed:
        """How the scrapes lie in a grid.

        A step that begins before `since` or ends after the grid is not counted, but what it covers was seen.
        """
        times = self.times
        first = bisect.bisect_left(times, grid.since)
        last = [max(first, bisect.bisect_left(times, grid.start(index), first) - 1) for index in range(grid.length + 1)]
        begin = max(0, first - 1)
        around = times[begin : last[-1] + 2]
        indexes = [int((at - grid.since) // grid.seconds) - grid.first for at in around]
        breaks = [place for place, step in enumerate(map(operator.sub, around[1:], around)) if step > grid.longest]
        covered: t.Set[int] = set()
        start = 0
        for stop in [*breaks, len(around) - 1]:
            if stop > start:
                covered.update(range(max(0, indexes[start]), min(grid.length, indexes[stop] + 1)))
            start = stop + 1
        return Placed(last if first < len(times) else [], [begin + place for place in breaks], covered)


@dataclasses.dataclass
class Placed:
    """How the scrapes of a process lie in a grid: the last scrape before each bound between two intervals, by its place
    in the process's times, the first bound first ([] without any scrape); the steps that are too long to count, by the
    place where they begin; and the intervals that were seen."""

    last: t.List[int]
    breaks: t.List[int]
    covered: t.Set[int]


class Growth:
    """What counters grew by in each interval of a grid, over several processes."""

    def __init__(self, targets: t.Sequence[Target], grid: Grid) -> None:
        self.targets = targets
        self.grid = grid
        self._placed = [target.placed(grid) for target in targets]
        self._kept: t.Dict[t.Tuple[Key, ...], t.List[float]] = {}

    def total(self, keys: t.Tuple[Key, ...]) -> t.List[float]:
        """The increase of these counters together in each interval."""
        if keys not in self._kept:
            bounds = [0.0] * (self.grid.length + 1)
            for target, placed in zip(self.targets, self._placed):
                risen = target.risen(keys, placed.breaks)
                if risen is not None and placed.last:
                    bounds = list(map(operator.add, bounds, map(risen.__getitem__, placed.last)))
            self._kept[keys] = list(map(operator.sub, bounds[1:], bounds))
        return self._kept[keys]

    def seen(self, keys: t.Optional[t.Iterable[Key]] = None) -> t.Set[int]:
        """Intervals in which a process that has one of these counters was seen; any process without keys."""
        wanted = None if keys is None else list(keys)
        having = [
            placed.covered
            for target, placed in zip(self.targets, self._placed)
            if wanted is None or target.select(wanted)
        ]
        return set().union(*having)

    def unseen_by_host(self, length: int) -> t.Dict[str, int]:
        """{host: how many of the first `length` intervals it was not seen in}."""
        covered: t.Dict[str, t.Set[int]] = {}
        for target, placed in zip(self.targets, self._placed):
            covered.setdefault(target.host, set()).update(placed.covered)
        return {host: length - len(seen.intersection(range(length))) for host, seen in covered.items()}
