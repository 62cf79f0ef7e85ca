# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""SQL for an order-independent digest of a table's rows, cheap enough to run beside a dump.

VERSION 2 takes the columns by name, because pg_dump writes inherited columns first, and jsonb with its structure. It
hashes the hash of each row once more: PostgreSQL's hash of a row is 31 · h + hash of the next column
(hash_record_extended in rowtypes.c), so a plain sum stays the same when two rows exchange a value. Version 1 took that
plain sum, the columns by position and jsonb by its hash; it remains for receipts that were written with it. VERSION 3
digests as 2; its receipts have more facts (facts.py).
"""

from __future__ import annotations

import itertools
from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

VERSION = 3
# (name, type, whether its values are hashed), by position.
Columns = Sequence[tuple[str, str, bool]]
# A name that no column has, because a column would take precedence.
ALIAS = "gradual whole row"
# Not 0, which is the hash of NULL: some values, such as NaN, hash to the seed.
_SEED = 21
_HASHES_SINCE = 140000
# Types whose equal values have equal text, so that hashing values finds every difference of their text. Not among them:
# numeric without a scale (1.0 = 1.00), float (0 = -0), interval (1 day = 24 hours), char (trailing blanks), enums and
# reg… types (they hash their OID, which changes with a restore). numeric(p, s) and varchar are.
_BY_VALUE = (
    "bool",
    "bytea",
    "int2",
    "int4",
    "int8",
    "text",
    "varchar",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "numeric",
    "jsonb",
)
_COLUMNS = """
SELECT a.attrelid::bigint, a.attname::text, t.typname::text,
       t.typnamespace = 'pg_catalog'::regnamespace AND t.typname = ANY(%s)
         AND (t.typname <> 'numeric' OR a.atttypmod >= 4)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relkind = 'r' AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
"""
# The hash of jsonb ignores where inner lists and objects end ([[1],2] and [[1,2]] are equal), so version 2 takes its
# text. By the type's output function, which no user-defined cast can replace.
_AS_TEXT = {
    "text": '{}::text COLLATE "C"',
    "varchar": '{}::text COLLATE "C"',
    "jsonb": 'pg_catalog.textin(pg_catalog.jsonb_out({})) COLLATE "C"',
}
# By functions that no user-defined cast can replace.
_MIXED = (
    "pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.textin(pg_catalog.int8out("
    f'pg_catalog.hash_record_extended({{row}}, {_SEED}))) COLLATE "C", {_SEED}))'
)
# Pages of a large object that are missing or short are zeros to whoever reads it, and a restore writes them. So pages
# count without the zeros at their end, and each object with its length. lo_get cannot read more than 1 GB.
_LARGE_OBJECTS = f"""
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata),
       coalesce({_MIXED.format(row="part")}, 0)::text
  FROM (SELECT ROW(loid, pageno, page) AS part
          FROM (SELECT loid, pageno, pg_catalog.rtrim(data, '\\x00'::bytea) AS page FROM pg_catalog.pg_largeobject) p
         WHERE page <> ''
         UNION ALL
        SELECT ROW(m.oid, (SELECT pg_catalog.max(l.pageno::bigint * (pg_catalog.current_setting('block_size')::int / 4)
                                                 + pg_catalog.length(l.data))
                             FROM pg_catalog.pg_largeobject l WHERE l.loid = m.oid))
          FROM pg_catalog.pg_largeobject_metadata m) parts
"""


def hashes(server_version: int) -> bool:
    """Whether a server of that version hashes rows (14 and newer). A copy is compared as its source was digested."""
    return server_version >= _HASHES_SINCE


def columns(session: Session) -> dict[int, Columns]:
    """The columns of every table by the table's OID, in one query."""
    rows = session.rows(_COLUMNS, (list(_BY_VALUE),))
    return {oid: [row[1:] for row in found] for oid, found in itertools.groupby(rows, key=lambda row: row[0])}


def of_text(expression: str) -> str:
    """count(*) and the sum of the first 64 bits of each row's MD5, which does not depend on the order of the rows."""
    return (
        "pg_catalog.count(*), coalesce(pg_catalog.sum(('x' || pg_catalog.left(pg_catalog.md5("
        f"{expression}), 16))::bit(64)::bigint), 0)::text"
    )


def of_rows(found: Columns, hashed: bool = True, version: int = VERSION) -> str:
    """The select list for (rows, digest) of a table with these columns, under the alias ALIAS.

    The digest is the sum of 64-bit hashes of the rows. Most types are hashed by value, which costs much less than an
    MD5 of the text; the others by the text of their output functions. The hashes are the same on every server of one
    major version and byte order. hashed: False for servers before 14, which have no such hash and use the MD5.
    """
    ordered = found if version == 1 else sorted(found)
    if not hashed:
        everything = ", ".join(quote(ALIAS, name) for name, *_rest in ordered)
        return of_text(f'"{ALIAS}"::text' if version == 1 else f"ROW({everything})::text")
    parts = [_part(name, kind, version) for name, kind, by_value in ordered if by_value]
    others = [quote(ALIAS, name) for name, _kind, by_value in ordered if not by_value]
    if others:
        # As a row, whose text tells NULL from an empty string, and which no user-defined cast changes.
        parts.append(f'ROW({", ".join(others)})::text COLLATE "C"')
    row = f"ROW({', '.join(parts)})"
    plain = f"pg_catalog.sum(pg_catalog.hash_record_extended({row}, {_SEED}))"
    return f"pg_catalog.count(*), coalesce({plain if version == 1 else _MIXED.format(row=row)}, 0)::text"


def _part(name: str, kind: str, version: int) -> str:
    """A column as it is hashed; text by its bytes, even if the collation treats other text as equal."""
    if kind == "jsonb" and version == 1:
        return quote(ALIAS, name)
    return _AS_TEXT.get(kind, "{}").format(quote(ALIAS, name))


def of_large_objects(hashed: bool = True, version: int = VERSION) -> str:
    """The query for (number, digest) of all large objects."""
    if hashed and version > 1:
        return _LARGE_OBJECTS
    return f"SELECT {of_text('oid::text || pg_catalog.md5(lo_get(oid))')} FROM pg_catalog.pg_largeobject_metadata"
