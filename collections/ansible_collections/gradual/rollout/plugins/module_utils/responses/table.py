# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The table of responses: which alert does what. Pure functions over the rows as an inventory has them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

# kill: turn the feature off that a label of the alert names; tell: record who took the server that a label names out
# of traffic; none: on purpose nothing.
LABELS = {"kill": "feature", "tell": "server", "none": ""}
LIMIT = {"count": 3, "minutes": 60}
KEYS = ("alert", "action", "label", "dry_run", "limit", "page")


class TableError(Exception):
    """A row that cannot be used: where, the value, and what to write."""


@dataclass(frozen=True)
class Row:
    """One alert and its response: at most `count` of them in `minutes`. label: the alert's label that names the feature
    or the server; page: what a person reads."""

    alert: str
    action: str
    label: str
    dry_run: bool = False
    count: int = LIMIT["count"]
    minutes: int = LIMIT["minutes"]
    page: str = ""


def rows(table: Any) -> dict[str, Row]:
    """{alert: Row} of a list of mappings; TableError names the first wrong value."""
    if not isinstance(table, list):
        raise TableError(f"responses_table: got {table!r}, expected a list of rows like {{alert: …, action: kill}}")
    found: dict[str, Row] = {}
    for number, entry in enumerate(table):
        row = _row(entry, f"responses_table[{number}]")
        if row.alert in found:
            raise TableError(f"responses_table[{number}].alert: {row.alert} has a row already; keep one of the two")
        found[row.alert] = row
    return found


def _row(entry: Any, where: str) -> Row:
    if not isinstance(entry, dict):
        raise TableError(f"{where}: got {entry!r}, expected a row like {{alert: FeatureErrorsHigh, action: kill}}")
    for key in entry:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1) or [f"one of {', '.join(KEYS)}"]
            raise TableError(f"{where}: no such key, got {key!r}, expected {near[0]}")
    given = {key: value for key, value in entry.items() if value is not None}
    for key in ("alert", "action"):
        if not isinstance(given.get(key), str) or not given[key]:
            raise TableError(f"{where}.{key}: got {given.get(key)!r}, expected a text")
    action = given["action"]
    if action not in LABELS:
        raise TableError(f"{where}.action: got {action!r}, expected one of {', '.join(LABELS)}")
    if not isinstance(given.get("dry_run", False), bool):
        raise TableError(f"{where}.dry_run: got {given['dry_run']!r}, expected true or false")
    limit = given.get("limit", {})
    if not isinstance(limit, dict) or set(limit) - set(LIMIT):
        raise TableError(f"{where}.limit: got {limit!r}, expected {{count: {LIMIT['count']}, minutes: 60}}")
    limit = {**LIMIT, **limit}
    for key, value in limit.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise TableError(f"{where}.limit.{key}: got {value!r}, expected a whole number from 1")
    for key in ("label", "page"):
        if not isinstance(given.get(key, ""), str):
            raise TableError(f"{where}.{key}: got {given[key]!r}, expected a text")
    return Row(
        given["alert"],
        action,
        given.get("label") or LABELS[action],
        given.get("dry_run", False),
        limit["count"],
        limit["minutes"],
        given.get("page", ""),
    )
