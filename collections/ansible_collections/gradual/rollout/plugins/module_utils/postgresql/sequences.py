# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Where every sequence continues: the value that it gives next."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Row, Session, quote

# So many sequences are read in one statement, before their locks are released.
BATCH = 100
# An extension makes its own sequences; pg_dump does not write their values. Unlogged ones are not in a copy of files.
_SEQUENCES = """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)::text, n.nspname::text, c.relname::text,
       s.seqincrement, s.seqcache,
       EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND %s)
 ORDER BY 1
"""


def read(session: Session, unlogged: bool = True, version: int = 2) -> dict[str, int | None]:
    """{"public.orders_id_seq": 2001}: the next value of every sequence.

    Snapshots do not cover sequences: read them before and after a dump, as a range. last_value and is_called are the
    sequence's own, because pg_sequences says NULL of one that was restarted and not called. Version 1, of old receipts,
    has None for one that was not called.
    """
    return {
        _label(row, version): _next(value, called, row[3], version)
        for row, (value, called) in _states(session, _listed(session, unlogged, version))
    }


def ahead(session: Session, unlogged: bool = False) -> dict[str, int]:
    """How far the WAL is ahead of each sequence: 32 values and its cache (SEQ_LOG_VALS in sequence.c); negative for a
    descending one."""
    return {row[0]: row[3] * (32 + row[4]) for row in _listed(session, unlogged, 2)}


def ranges_of(receipt: Mapping[str, Any], session: Session) -> dict[str, Sequence[int | None]]:
    """The receipt's ranges of next values. Receipts of version 1 have the last values instead."""
    found: dict[str, Sequence[int | None]] = receipt["sequences"]
    if receipt.get("digest_version", 1) > 1:
        return found
    steps = {_label(row, 1): row[3] for row in _listed(session, True, 1)}
    return {name: [None if end is None else end + steps.get(name, 0) for end in ends] for name, ends in found.items()}


def widened(before: int | None, after: int | None, more: int) -> list[int | None]:
    """The range of a sequence in a copy of the files: the WAL has its value some steps before it reaches it."""
    low = before if before is None or more >= 0 else before + more
    high = after if after is None or more < 0 else after + more
    return [low, high]


def differences(ranges: Mapping[str, Sequence[int | None]], seen: Mapping[str, int | None]) -> list[str]:
    """Sequences whose restored next value is outside its range [before, after] of the dump."""
    return [
        f"sequence {name} is missing"
        if name not in seen
        else f"sequence {name} continues at {_shown(seen[name])} in the restored copy, expected {_expected(ends)}"
        for name, ends in sorted(ranges.items())
        if name not in seen or not _inside(ends, seen[name])
    ]


def _inside(ends: Sequence[int | None], value: int | None) -> bool:
    """None: of version 1, not called yet. It may have been called for the first time during the dump."""
    known = [end for end in ends if end is not None]
    if value is None or not known:
        return value is None and None in ends
    return (None in ends or min(known) <= value) and value <= max(known)


def _shown(value: int | None) -> str:
    return "its start" if value is None else str(value)


def _expected(ends: Sequence[int | None]) -> str:
    return " to ".join(dict.fromkeys(_shown(end) for end in ends))


def _listed(session: Session, unlogged: bool, version: int) -> list[Row]:
    return [row for row in session.rows(_SEQUENCES, (unlogged,)) if version == 1 or not row[5]]


def _label(row: Row, version: int) -> str:
    return f"{row[1]}.{row[2]}" if version == 1 else str(row[0])


def _next(value: int, called: bool, step: int, version: int) -> int | None:
    if not called:
        return None if version == 1 else value
    return value + step


def _states(session: Session, listed: Sequence[Row]) -> list[tuple[Row, Row]]:
    found: list[Row] = []
    for start in range(0, len(listed), BATCH):
        names = [quote(row[1], row[2]) for row in listed[start : start + BATCH]]
        one = [f"SELECT {number} AS number, last_value, is_called FROM {name}" for number, name in enumerate(names)]
        with session.releasing_locks():
            found += [row[1:] for row in session.rows(" UNION ALL ".join(one) + " ORDER BY number")]
    return list(zip(listed, found))
