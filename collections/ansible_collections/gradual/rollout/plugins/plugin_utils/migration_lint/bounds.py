# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the bounds of two partitions overlap, as far as their text says it."""

from __future__ import annotations

import math
import re
from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import column_of, kind

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}(:\d{2})?)?")
_ENDS = {"minvalue": -math.inf, "maxvalue": math.inf}


def overlap(one: Any, other: Any) -> bool:
    """Two default partitions, a value that both list, or two ranges of numbers or days; False if it is not known."""
    if one.is_default or other.is_default:
        return bool(one.is_default and other.is_default)
    if one.strategy != other.strategy:
        return False
    if one.strategy == "l":
        return bool(_values(one.listdatums) & _values(other.listdatums))
    if one.strategy == "h":
        return bool(one.modulus == other.modulus and one.remainder == other.remainder)
    ends = [_end(bound) for each in (one, other) for bound in (each.lowerdatums, each.upperdatums)]
    if None in ends or len({type(end) for end in ends if not _infinite(end)}) > 1:
        return False
    low, high, least, most = ends
    return _less(low, most) and _less(least, high)


def _values(given: Any) -> set[str]:
    return {str(getattr(one, "val", one)) for one in given or () if kind(one) == "A_Const"}


def _end(given: Any) -> Any:
    """A bound of one column: a number or a day."""
    if given is None or len(given) != 1:
        return None
    if kind(given[0]) == "ColumnRef":
        return _ENDS.get(column_of(given[0]).lower())
    value = getattr(given[0], "val", None)
    text = getattr(value, "sval", None)
    if text is not None:
        return text if _DAY.fullmatch(text) else None
    number = getattr(value, "ival", None)
    return None if number is None else float(number)


def _infinite(end: Any) -> bool:
    return isinstance(end, float) and math.isinf(end)


def _less(one: Any, other: Any) -> bool:
    if _infinite(one) or _infinite(other):
        return bool(one == -math.inf or other == math.inf)
    return bool(one < other)
