# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Figures and times as an operator reads them."""

from __future__ import annotations

import time
import typing as t


def percent(share: float) -> str:
    """A share between 0 and 1 as "2.9 %"; below 1 % with two significant digits, so that little is not read as
    nothing."""
    value = 100 * share
    if value == 0 or value >= 0.95:
        return f"{value:.1f} %" if value < 99.95 and value != round(value) else f"{value:.0f} %"
    return f"{value:.2g} %" if value >= 0.001 else "under 0.001 %"


def span(seconds: t.Any) -> str:
    """Seconds as a person says them: 45 s, 2 min, 1 min 30 s, 2 h 5 min."""
    if seconds is None:
        return "?"
    whole = round(float(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def listed(names: t.Sequence[str]) -> str:
    """Names as "app1, app2 and app3"; raises IndexError for none."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def number(value: t.Optional[float]) -> str:
    """A count with thousands set apart; a dash when it was not measured."""
    return "-" if value is None else f"{value:,.0f}"


def milliseconds(value: t.Optional[float]) -> str:
    """Seconds as milliseconds; a dash when they were not measured."""
    return "-" if value is None else f"{1000 * value:.0f} ms"


def time_of_day(moment: t.Optional[float]) -> str:
    """Seconds since the epoch as 12:34:56 in UTC; a dash for None."""
    return "-" if moment is None else time.strftime("%H:%M:%S", time.gmtime(moment))


def elapsed(seconds: float) -> str:
    """Seconds since a start as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shares(values: t.Mapping[str, float]) -> str:
    """{flag: percentage of the users} as "search 25.4 %, wishlist 24.9 %"."""
    return ", ".join(f"{flag} {value:.1f} %" for flag, value in sorted(values.items())) or "not measured"


def ranges(numbers: t.Iterable[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"; a dash for none."""
    found: t.List[t.List[int]] = []
    for each in sorted(numbers):
        if found and each == found[-1][-1] + 1:
            found[-1].append(each)
        else:
            found.append([each])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found) or "-"
