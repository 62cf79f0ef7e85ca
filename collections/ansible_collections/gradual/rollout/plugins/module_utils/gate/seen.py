# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The intervals of one metric as they are seen, and a summary of them that does not grow with their number. Pure."""

from __future__ import annotations

import operator
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.stats.sequential_test import Tally

# Requests that an interval, or several in a row, must have before its share is held against a limit.
ENOUGH = 20
# How many of the latest intervals tell whether something hits everybody.
RECENT = 6
# From here on a float no longer tells two counts apart.
MOST = 2**53

Json = t.Dict[str, t.Any]
Row = t.Tuple[float, float, float, float]


class Seen:
    """Rows of one metric, after those of which `summary` is the summary.

    fewer: whether fewer events are the harm; the tally has the arms turned round then.
    tally: the sums of all rows.
    latest: rows of which a verdict asks one by one: the latest ones, and those before as far as they are known.
    length, unseen, broken: how many rows there were; how many of the last ones in a row were not seen; how many had
        invalid counts.
    first_bad: seconds after the stage began of the first bad event of the treatment, or None.
    """

    def __init__(self, fewer: bool, summary: t.Optional[t.Mapping[str, t.Any]] = None) -> None:
        known = summary or {}
        self.fewer = fewer
        self.tally = Tally((), known.get("sums", ()))
        self.latest: t.List[Row] = [(row[0], row[1], row[2], row[3]) for row in known.get("latest", ())]
        self.length, self.unseen, self.broken = (int(known.get(key, 0)) for key in ("length", "unseen", "broken"))
        self.first_bad: t.Optional[float] = known.get("first_bad")

    def add(self, at: float, row: t.Optional[Row]) -> None:
        """The next interval: seconds since the stage began, and (events, bad, control events, control bad) or None
        where it was not seen."""
        self.length += 1
        if row is None:
            self.unseen += 1
            return
        self.unseen = 0
        self.latest.append(row)
        self.tally.append(turned(row, self.fewer))
        if row[1] and self.first_bad is None and not self.fewer:
            self.first_bad = at

    def add_all(self, rows: t.Any) -> None:
        """All rows of a look, [seconds, events, bad, control events, control bad] each; those with invalid counts are
        counted as broken."""
        if not isinstance(rows, (list, tuple)):
            return
        found, broken = usable(rows)
        self.length += len(rows)
        self.broken += sum(broken)
        self.latest += [row for _at, row in found]
        self.tally.extend([turned(row, self.fewer) for _at, row in found])
        newest = next((k for k, row in enumerate(reversed(rows)) if not unseen(row)), None)
        self.unseen = self.unseen + len(rows) if newest is None else newest
        if self.first_bad is None and not self.fewer:
            self.first_bad = next((at for at, row in found if row[1]), None)

    def summary(self) -> Json:
        """What these rows mean for a verdict, whatever rows follow."""
        return {
            "sums": self.tally.summary(),
            "latest": self._latest(),
            **{key: getattr(self, key) for key in ("length", "unseen", "broken", "first_bad")},
        }

    def _latest(self) -> t.List[Row]:
        """The latest rows, and before them as many as it takes to have twice ENOUGH requests in the treatment.

        A row without such a request is added to the one before it, since it belongs to the same block as that."""
        joined: t.List[Row] = []
        for row in self.latest[:-RECENT]:
            if joined and not row[0]:
                first, *others = map(operator.add, joined[-1], row)
                joined[-1] = (first, others[0], others[1], others[2])
            else:
                joined.append(row)
        return [*joined, *self.latest[-RECENT:]][-(2 * ENOUGH + RECENT) :]


def turned(row: Row, fewer: bool) -> Row:
    """The row as the tally has it: fewer orders with the feature are more orders without it."""
    return (row[2], row[3], row[0], row[1]) if fewer else row


def usable(rows: t.Any) -> t.Tuple[t.List[t.Tuple[float, Row]], t.List[bool]]:
    """([(seconds, row)] that make sense, [for each that does not, whether it is more than "not seen"])."""
    good: t.List[t.Tuple[float, Row]] = []
    bad: t.List[bool] = []
    for row in rows if isinstance(rows, (list, tuple)) else []:
        found = sensible(row)
        if found is None:
            bad.append(not unseen(row))
        else:
            good.append((float(row[0]), found))
    return good, bad


def unseen(row: t.Any) -> bool:
    """Whether an interval was not seen: None, or no numbers in it."""
    return row is None or (isinstance(row, (list, tuple)) and len(row) == 5 and all(value is None for value in row[1:]))


def sensible(row: t.Any) -> t.Optional[Row]:
    """The four counts of a row [seconds, events, bad, control events, control bad]; None where they cannot be: no more
    bad ones than events."""
    if not isinstance(row, (list, tuple)) or len(row) != 5:
        return None
    at, events, bad, control_events, control_bad = row
    if not (type(events) is type(bad) is type(control_events) is type(control_bad) is int and is_number(at)):
        if not all(map(is_count, row[1:])) or not is_number(at):
            return None
        events, bad, control_events, control_bad = map(int, row[1:])
    if 0 <= bad <= events < MOST and 0 <= control_bad <= control_events < MOST:
        return events, bad, control_events, control_bad
    return None


def is_number(value: t.Any) -> bool:
    """A number that sums stay exact with: neither NaN nor beyond MOST, which counts as infinite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -MOST < value < MOST


def is_count(value: t.Any) -> bool:
    return is_number(value) and value >= 0
