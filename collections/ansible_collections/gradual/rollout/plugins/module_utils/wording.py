# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Figures as an operator reads them."""

from __future__ import annotations

import typing as t


class Counted(t.Protocol):
    """Anything with events and bad ones."""

    events: int
    bad: int


def percent(share: float) -> str:
    """A share between 0 and 1 as "2.9 %"; below 1 % with two significant digits, so that little is not read as nothing."""
    value = 100 * share
    if value == 0 or value >= 0.95:
        return f"{value:.1f} %" if value < 99.95 and value != round(value) else f"{value:.0f} %"
    return f"{value:.2g} %" if value >= 0.001 else "under 0.001 %"


def number(value: float) -> str:
    """A count with thousands set apart."""
    return f"{value:,.0f}"


def share_of(arm: Counted) -> str:
    """ "2.9 % of 4,210", or that there were none."""
    return f"{percent(arm.bad / arm.events)} of {number(arm.events)}" if arm.events else "no requests"


def arms(feature: str, metric: str, treatment: Counted, control: t.Optional[Counted]) -> str:
    """ "search errors with the feature 2.9 % of 4,210, without it 1 % of 12,640"; the second part is left out without a control."""
    what = {"errors": "errors", "slow": "slow answers"}.get(metric, metric)
    without = f", without it {share_of(control)}" if control is not None else ""
    return f"{feature} {what} with the feature {share_of(treatment)}{without}"
